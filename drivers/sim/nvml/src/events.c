/* Event sets: each reads the shared ring from a place of its own, so that every process that waits
 * gets each event, and the same XID twice is two events. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fake.h"

#define MAX_SETS 32

struct set {
    int used;
    uint64_t cursor;
    uint64_t types[MAX_GPUS];
    uint64_t since[MAX_GPUS];
};

static struct set sets[MAX_SETS];

/* Sets are known by their address; whatever else is handed in is refused. */
static struct set *find(const void *handle)
{
    for (int i = 0; i < MAX_SETS; i++)
        if (handle == &sets[i] && sets[i].used)
            return &sets[i];
    return NULL;
}

NVML_EXPORT nvml_result nvmlEventSetCreate(void **handle)
{
    ENDS struct fake_call call = fake_begin_system(__func__);
    if (call.result != OK)
        return call.result;
    NEED(handle);
    for (int i = 0; i < MAX_SETS; i++)
        if (!sets[i].used) {
            memset(&sets[i], 0, sizeof sets[i]);
            sets[i].used = 1;
            sets[i].cursor = call.state->event_head;
            *handle = &sets[i];
            return OK;
        }
    return NO_MEMORY;
}

NVML_EXPORT nvml_result nvmlEventSetFree(void *handle)
{
    ENDS struct fake_call call = fake_begin_system(__func__);
    if (call.result != OK)
        return call.result;
    struct set *set = find(handle);
    NEED(set);
    set->used = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSupportedEventTypes(nvml_device device,
                                                         unsigned long long *types)
{
    ON_GPU(device);
    NEED(types);
    *types = gpu->model.event_types & fake_event_types;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceRegisterEvents(nvml_device device, unsigned long long types,
                                                 void *handle)
{
    ON_GPU(device);
    struct set *set = find(handle);
    NEED(set);
    SUPPORTED(gpu->model.event_types);
    SUPPORTED(!(types & ~(gpu->model.event_types & fake_event_types)));
    /* What happened before is not told. */
    if (!set->types[call.place.slot])
        set->since[call.place.slot] = call.state->event_head;
    set->types[call.place.slot] |= types;
    return OK;
}

static int wants(const struct set *set, uint64_t number, const struct fake_event *event)
{
    return set->types[event->slot] & event->type && number >= set->since[event->slot];
}

static void deliver(const struct fake_event *event, struct nvml_event *to)
{
    to->device = fake_device_handle(event->slot, NO_INSTANCE, NO_INSTANCE);
    to->type = event->type;
    to->data = event->data;
    to->gpu_instance = event->gpu_instance;
    to->compute_instance = event->compute_instance;
}

/* The next event for this set. What the ring has lost meanwhile is lost. */
static int next(struct fake_state *state, struct set *set, struct nvml_event *to)
{
    if (state->event_head - set->cursor > MAX_EVENTS)
        set->cursor = state->event_head - MAX_EVENTS;
    while (set->cursor < state->event_head) {
        uint64_t number = set->cursor++;
        const struct fake_event *event = &state->events[number % MAX_EVENTS];
        if (!wants(set, number, event))
            continue;
        deliver(event, to);
        return 1;
    }
    return 0;
}

static int lost_one(const struct fake_state *state, const struct set *set)
{
    for (unsigned slot = 0; slot < state->gpu_count; slot++)
        if (set->types[slot] && (state->gpus[slot].lost || state->gpus[slot].removed))
            return 1;
    return 0;
}

static nvml_result look(void *handle, struct nvml_event *event)
{
    ENDS struct fake_call call = {.state = fake_attached()};
    fake_lock(call.state);
    struct set *set = find(handle);
    NEED(set);
    if (fake_still_attached(call.state) != OK)
        return UNINITIALIZED;
    if (next(call.state, set, event))
        return OK;
    return lost_one(call.state, set) ? GPU_IS_LOST : TIMED_OUT;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

NVML_EXPORT nvml_result nvmlEventSetWait_v2(void *handle, struct nvml_event *event,
                                            unsigned timeout_ms)
{
    struct fake_call call = fake_begin_system(__func__);
    struct fake_state *state = call.state;
    fake_end(&call);
    if (call.result != OK)
        return call.result;
    NEED(event);
    int64_t until = now_ms() + timeout_ms;
    for (;;) {
        uint32_t seen = __atomic_load_n(&state->event_word, __ATOMIC_ACQUIRE);
        nvml_result result = look(handle, event);
        int64_t left = until - now_ms();
        if (result != TIMED_OUT || left <= 0)
            return result;
        fake_wait_on(&state->event_word, seen, (unsigned)left);
    }
}
