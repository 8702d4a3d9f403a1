"""The reporters that ship with memkit: plugins like those of others, which import ``memkit`` and nothing deeper."""
