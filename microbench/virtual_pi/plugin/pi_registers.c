#define _GNU_SOURCE

#include "pi_registers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pi_board.h"
#include "pi_clock.h"
#include "pi_gpu.h"

#define MEMORY "sysroot/dev/mem"
#define IDENTITY 0x02443356u /* letters "V3D", technology version 2 */

enum { PAGE = 4096, BLOCK = 0xc00000, PERIPHERALS_BCM2835 = 0x20000000, PERIPHERALS = 0x3f000000 };
enum { IDENT0 = 0x000, SRQPC = 0x430, SRQUA = 0x434, SRQCS = 0x43c };
enum { MADE_SHIFT = 8, COMPLETED_SHIFT = 16, COUNT = 0xff, MOST_REQUESTS = PI_MOST_QPUS };
enum outcome { WAITING, RUNNING, STUCK };

static volatile uint32_t *registers; /* NULL: not mapped by this process */
static uint64_t place;               /* the guest's address of them */
static uint32_t pairs[2 * MOST_REQUESTS];
static uint32_t made, completed, pending; /* pending: requested and not yet counted as completed */
static enum outcome outcome;
static uint64_t requested_ns;
static double takes_s;

static uint64_t physical_address(void) { return BLOCK + (pi_gpu_is_bcm2835() ? PERIPHERALS_BCM2835 : PERIPHERALS); }

int pi_registers_are_at(uint64_t physical) { return pi_gpu_there() && physical == physical_address(); }

void pi_registers_mapped(uint64_t guest, volatile uint32_t *mapped)
{
    place = guest;
    registers = mapped;
}

int pi_registers_watched(void) { return registers != NULL; }

static void tell(void)
{
    registers[SRQCS / sizeof *registers] = (completed & COUNT) << COMPLETED_SHIFT | (made & COUNT) << MADE_SHIFT;
}

static void forget(void)
{
    made = completed = pending = 0;
    outcome = WAITING;
}

static void request(void)
{
    if (pending == MOST_REQUESTS)
        return; /* not counted: the guest sees that it was not taken */
    pairs[2 * pending] = registers[SRQUA / sizeof *registers];
    pairs[2 * pending + 1] = registers[SRQPC / sizeof *registers];
    ++pending;
    ++made;
    requested_ns = pi_clock_ns();
    outcome = WAITING;
}

void pi_registers_stored(uint64_t guest)
{
    if (!registers || guest - place >= PAGE)
        return;
    if (guest - place == SRQPC)
        request();
    else if (guest - place == SRQCS)
        forget();
    else
        return;
    tell();
}

static void run(void)
{
    pi_state *state = pi_state_hold();
    const int failed = !state || !state->qpus_enabled || pi_gpu_run(state, pairs, pending, &takes_s) != 0;
    if (state)
        pi_state_let_go();
    outcome = failed ? STUCK : RUNNING;
}

void pi_registers_slept(void)
{
    if (!registers || pending == 0)
        return;
    if (outcome == WAITING)
        run();
    if (outcome == RUNNING && 1e-9 * (double)(pi_clock_ns() - requested_ns) >= takes_s) {
        completed += pending;
        pending = 0;
        tell();
    }
}

/* Mapped, not written as a file: the limit that a process has for files holds for the guest's files alone. */
void pi_registers_power(int is_on)
{
    char path[PI_PATH_BYTES];
    forget();
    pi_board_path(MEMORY, path);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    void *page = MAP_FAILED;
    if (file >= 0)
        page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)physical_address());
    if (file >= 0)
        close(file);
    if (page == MAP_FAILED) {
        pi_log("%s: the V3D block's registers cannot be mapped", path);
        return;
    }
    volatile uint32_t *block = page;
    block[IDENT0 / sizeof *block] = is_on ? IDENTITY : 0;
    block[SRQCS / sizeof *block] = 0;
    munmap(page, PAGE);
}
