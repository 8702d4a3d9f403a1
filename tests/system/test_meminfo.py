"""What the kernel says of the whole machine, read from file trees as systems have them."""

import os

import pytest

from memkit.system import meminfo

KIB, MIB = 1 << 10, 1 << 20
NEVER, MADVISE, ALWAYS = "always madvise [never]\n", "always [madvise] never\n", "[always] madvise never\n"
INHERIT = "always [inherit] madvise never\n"
OF_SIZE = "always inherit madvise [never]\n"
SHARED = "[always] within_size advise never deny force\n"
NOT_SHARED = "always within_size advise [never] deny force\n"


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({}, 64 * KIB),
        ({"enabled": NEVER, "hpage_pmd_size": "2097152\n"}, 64 * KIB),
        ({"enabled": NEVER, "shmem_enabled": NOT_SHARED, "hpage_pmd_size": "2097152\n"}, 64 * KIB),
        ({"enabled": MADVISE, "hpage_pmd_size": "2097152\n"}, 2 * MIB),
        ({"enabled": NEVER, "shmem_enabled": SHARED, "hpage_pmd_size": "2097152\n"}, 2 * MIB),
        ({"enabled": ALWAYS, "hpage_pmd_size": "33554432\n"}, 32 * MIB),
        ({"enabled": ALWAYS, "hpage_pmd_size": "536870912\n"}, 512 * MIB),
        ({"enabled": ALWAYS}, 2 * MIB),
        ({"enabled": NEVER, "hugepages-16kB/enabled": ALWAYS, "hugepages-2048kB/enabled": INHERIT}, 64 * KIB),
        ({"enabled": NEVER, "hugepages-64kB/enabled": OF_SIZE, "hugepages-512kB/enabled": MADVISE}, 512 * KIB),
        ({"enabled": NEVER, "hugepages-1024kB/shmem_enabled": SHARED, "hugepages-512kB/enabled": ALWAYS}, 1 * MIB),
    ],
)
def test_a_page_fault_brings_no_more_than_the_largest_page_that_may_be(tmp_path, files, most):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert meminfo.most_of_a_fault(str(tmp_path)) == most
    assert meminfo.most_of_a_fault(os.path.join(tmp_path, "missing")) == 64 * KIB
