/* Counts calls and lets faults strike them: slow, hung, hung in state D, failed, ignored. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

/* An open hash over the name: found without the lock, and the same in every process. */
struct fake_function *fake_function(struct fake_state *state, const char *name)
{
    uint32_t hash = 2166136261;
    for (const char *at = name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619;
    for (unsigned tries = 0; tries < MAX_FUNCTIONS; tries++) {
        struct fake_function *function = &state->functions[(hash + tries) % MAX_FUNCTIONS];
        if (!strcmp(function->name, name))
            return function;
        if (!function->name[0])
            return function;
    }
    return NULL;
}

static struct fake_function *claim(struct fake_state *state, const char *name)
{
    struct fake_function *function = fake_function(state, name);
    if (function && function->name[0])
        return function;
    fake_lock(state);
    function = fake_function(state, name);
    if (function && !function->name[0])
        strncpy(function->name, name, sizeof function->name - 1);
    fake_unlock(state);
    return function;
}

static void nap(unsigned microseconds)
{
    struct timespec left = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

void fake_count(struct fake_state *state, const char *name, unsigned slot)
{
    struct fake_function *function = claim(state, name);
    if (!function)
        return;
    __atomic_fetch_add(&function->calls, 1, __ATOMIC_RELAXED);
    if (slot < MAX_GPUS)
        __atomic_fetch_add(&function->calls_by_gpu[slot], 1, __ATOMIC_RELAXED);
    if (function->delay_us)
        nap(function->delay_us);
}

static uint32_t serial_of(struct fake_fault *fault)
{
    return __atomic_load_n(&fault->active, __ATOMIC_ACQUIRE);
}

static void hang(struct fake_fault *fault, uint32_t serial)
{
    while (serial_of(fault) == serial)
        fake_wait_on(&fault->active, serial, ANY);
}

/* The child of a vfork keeps the calling thread in the kernel, in state D, until it is gone. It
 * goes when the fault is lifted, or with its parent. It runs on the parent's memory: so it takes
 * no signal, whose handler would be the parent's, and calls nothing but the kernel. */
static __attribute__((noinline)) void hang_in_d(struct fake_fault *fault, uint32_t serial)
{
    sigset_t all, before;
    pid_t parent = getpid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (serial_of(fault) == serial && getppid() == parent)
            fake_wait_on(&fault->active, serial, 1000);
        _exit(0);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static int strikes(struct fake_fault *fault, const char *function, unsigned slot)
{
    if (!serial_of(fault) || (fault->slot != ANY && fault->slot != slot))
        return 0;
    if (fault->function[0] && strcmp(fault->function, function))
        return 0;
    uint32_t turn = __atomic_fetch_add(&fault->seen, 1, __ATOMIC_RELAXED);
    return turn >= fault->skip && (!fault->times || turn - fault->skip < fault->times);
}

static void apply(struct fake_fault *fault, uint32_t serial, struct fake_strike *strike)
{
    uint32_t value = fault->value;
    switch (fault->kind) {
    case FAULT_SLOW:
        nap(value);
        break;
    case FAULT_HANG:
        hang(fault, serial);
        break;
    case FAULT_HANG_IN_D:
        hang_in_d(fault, serial);
        break;
    case FAULT_ERROR:
        strike->error = value;
        break;
    default:
        strike->lies = 1;
    }
}

struct fake_strike fake_strike(struct fake_state *state, const char *function, unsigned slot)
{
    struct fake_strike strike = {OK, 0};
    for (int i = 0; i < MAX_FAULTS; i++) {
        struct fake_fault *fault = &state->faults[i];
        uint32_t serial = serial_of(fault);
        if (!serial || !strikes(fault, function, slot))
            continue;
        __atomic_fetch_add(&fault->strikes, 1, __ATOMIC_RELEASE);
        fake_wake(&fault->strikes);
        apply(fault, serial, &strike);
    }
    return strike;
}
