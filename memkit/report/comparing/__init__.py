"""What changed between recordings: matched, ranked, told and checked."""
