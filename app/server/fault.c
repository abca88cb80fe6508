/* fault.c - see fault.h. The handler calls mmap and signal alone, which take no lock. */
#include "fault.h"
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_int faults;
static uintptr_t page = 4096;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    void *at = (void *)((uintptr_t)info->si_addr & ~(page - 1));
    int lost = info->si_code == BUS_ADRERR &&
               mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at;
    if (lost) atomic_fetch_add(&faults, 1);
    else signal(number, SIG_DFL); /* something else: the instruction faults again and ends the process */
}

void goss_srv_fault_watch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigaction(SIGBUS, &action, NULL);
}

int goss_srv_fault_take(void) { return atomic_exchange(&faults, 0) > 0; }
