"""What the samples of several processes add up to."""

from memkit.report.lanes import highest_sum

MIB = 1 << 20


def test_a_process_that_had_nothing_for_a_while_is_counted_once(tree):
    recording = tree([(0, 10), (1, 0), (2, 10), (9, 10)], {7: ([(3, 5), (9, 5)],)}, [])
    assert highest_sum(recording) == (3_000_000, 15 * MIB, 2)
