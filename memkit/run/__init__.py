"""What stands beside a measured program: starts it or attaches to it, shows it live, passes signals on, sees how it ends."""
