/* What the loader keeps of a library: its symbols, and the entries by which it calls others. Included by patching.h alone.

The tables of ELF, as in `man 5 elf`; the hashes of names as GNU's linkers write them. */

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>

#if defined(__GLIBC__) && defined(__LP64__) && defined(__x86_64__)
#define MEMKIT_CAN_PATCH
enum { CALL_ENTRY = R_X86_64_JUMP_SLOT, GLOBAL_ENTRY = R_X86_64_GLOB_DAT, DATA_ENTRY = R_X86_64_64 };
#elif defined(__GLIBC__) && defined(__LP64__) && defined(__aarch64__)
#define MEMKIT_CAN_PATCH
enum { CALL_ENTRY = R_AARCH64_JUMP_SLOT, GLOBAL_ENTRY = R_AARCH64_GLOB_DAT, DATA_ENTRY = R_AARCH64_ABS64 };
#endif

#ifdef MEMKIT_CAN_PATCH

typedef struct {
    const char *path;
    const ElfW(Dyn) *dynamic;
    uintptr_t base, start, end;
    uintptr_t sealed, sealed_end;       /* read-only once it is relocated; empty where nothing is */
    const ElfW(Sym) *symbols;
    const char *names;
    const ElfW(Half) *versions;         /* NULL: there are none */
    const uint32_t *hashes;             /* NULL: names are found by no such table */
    const ElfW(Rela) *tables[2];        /* of calls, and of all else */
    size_t counts[2];
} library_t;

typedef struct {
    int table;
    size_t next;
} entries_t;

typedef struct {
    const char *name;
    void **place;
    int is_call;                /* it may not have been looked up yet */
    int is_defined;             /* the library has a function of that name itself */
} entry_in_t;

static int holds(const library_t *library, uintptr_t address)
{
    return address >= library->start && address < library->end;
}

static int is_in_sealed(const library_t *library, uintptr_t address)
{
    return address >= library->sealed && address < library->sealed_end;
}

static void read_dynamic(library_t *library)
{
    size_t sizes[2] = {0}, relative = 0;
    for (const ElfW(Dyn) *each = library->dynamic; each->d_tag != DT_NULL; each++) {
        uintptr_t value = each->d_un.d_val;     /* of an address: relocated already, or not */
        const void *at = (const void *)(value < library->base ? library->base + value : value);
        switch (each->d_tag) {
        case DT_SYMTAB: library->symbols = at; break;
        case DT_STRTAB: library->names = at; break;
        case DT_VERSYM: library->versions = at; break;
        case DT_GNU_HASH: library->hashes = at; break;
        case DT_JMPREL: library->tables[0] = at; break;
        case DT_PLTRELSZ: sizes[0] = value; break;
        case DT_RELA: library->tables[1] = at; break;
        case DT_RELASZ: sizes[1] = value; break;
        case DT_RELACOUNT: relative = value; break;     /* the first ones, without a symbol */
        }
    }
    for (int table = 0; table < 2; table++)
        library->counts[table] = library->tables[table] ? sizes[table] / sizeof(ElfW(Rela)) : 0;
    if (library->counts[1] >= relative)
        library->tables[1] += relative, library->counts[1] -= relative;
}

/* 0: it has no tables. */
static int read_library(const struct dl_phdr_info *info, library_t *library)
{
    uintptr_t page = getauxval(AT_PAGESZ);
    memset(library, 0, sizeof *library);
    library->path = info->dlpi_name, library->base = info->dlpi_addr, library->start = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t from = library->base + part->p_vaddr, to = from + part->p_memsz;
        if (part->p_type == PT_LOAD) {
            library->start = from < library->start ? from : library->start;
            library->end = to > library->end ? to : library->end;
        } else if (part->p_type == PT_DYNAMIC) {
            library->dynamic = (const ElfW(Dyn) *)from;
        } else if (part->p_type == PT_GNU_RELRO) {
            library->sealed = from & -page, library->sealed_end = to & -page;
        }
    }
    if (!library->dynamic)
        return 0;
    read_dynamic(library);
    return library->symbols && library->names;
}

/* The function of a name that a library has for others, in its default version; NULL if there is none. */
static void *defined_in(const library_t *library, const char *name)
{
    const uint32_t *head = library->hashes, *buckets, *chains;
    const ElfW(Addr) *filter;
    uint32_t hash = 5381, at;
    ElfW(Addr) bits;
    if (!head || !head[0] || !head[2])
        return NULL;
    filter = (const ElfW(Addr) *)(head + 4);
    for (const char *each = name; *each; each++)
        hash = hash * 33 + (unsigned char)*each;
    bits = filter[hash / 64 % head[2]];
    if (!(bits >> hash % 64 & bits >> (hash >> head[3]) % 64 & 1))
        return NULL;
    buckets = (const uint32_t *)(filter + head[2]), chains = buckets + head[0];
    for (at = buckets[hash % head[0]]; at >= head[1]; at++) {
        const ElfW(Sym) *symbol = &library->symbols[at];
        uint32_t link = chains[at - head[1]];
        if ((link ^ hash) >> 1 == 0 && symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC
                && !(library->versions && library->versions[at] & 0x8000) && !strcmp(library->names + symbol->st_name, name))
            return (void *)(library->base + symbol->st_value);
        if (link & 1)
            break;
    }
    return NULL;
}

/* The next entry that has a symbol. 0: there is none. */
static int next_entry(const library_t *library, entries_t *at, entry_in_t *into)
{
    for (; at->table < 2; at->table++, at->next = 0)
        while (at->next < library->counts[at->table]) {
            const ElfW(Rela) *entry = &library->tables[at->table][at->next++];
            const ElfW(Sym) *symbol = &library->symbols[ELF64_R_SYM(entry->r_info)];
            uint32_t kind = ELF64_R_TYPE(entry->r_info);
            uintptr_t place = library->base + entry->r_offset;
            if (kind != CALL_ENTRY && kind != GLOBAL_ENTRY && (kind != DATA_ENTRY || entry->r_addend))
                continue;
            if (!ELF64_R_SYM(entry->r_info) || !holds(library, place) || place % sizeof(void *))
                continue;
            into->name = library->names + symbol->st_name, into->place = (void **)place;
            into->is_call = kind == CALL_ENTRY, into->is_defined = symbol->st_shndx != SHN_UNDEF;
            return 1;
        }
    return 0;
}

#endif
