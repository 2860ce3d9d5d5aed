/* Events on their way to every set that wants them. */
#include "fake.h"

void fake_post(struct fake_state *state, unsigned slot, uint64_t type, uint64_t data,
               unsigned gpu_instance, unsigned compute_instance)
{
    struct fake_event *event = &state->events[state->event_head % MAX_EVENTS];
    event->type = type;
    event->data = data;
    event->slot = slot;
    event->gpu_instance = gpu_instance;
    event->compute_instance = compute_instance;
    state->event_head++;
    __atomic_fetch_add(&state->event_word, 1, __ATOMIC_RELEASE);
    fake_wake(&state->event_word);
}
