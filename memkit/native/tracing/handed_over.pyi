ROLES: dict[str, int]
