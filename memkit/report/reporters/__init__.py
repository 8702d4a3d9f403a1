"""The reporters that ship with memkit: plugins like any stranger's, which use the front door and nothing deeper."""
