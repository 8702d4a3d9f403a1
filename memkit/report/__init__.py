"""What turns a recording into something to read: the reporters and what they share."""
