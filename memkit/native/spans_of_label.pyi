class Spreads:
    number: int
    overlapped: int
    due: int

    def add(
        self, overlapped: bool, duration: int, growth: int, rise: int | None, heap: tuple[int, int, int] | None
    ) -> bool: ...
    def as_lists(self) -> list[list[int] | None]: ...
