/* Which GPUs stand in the host: `h100-sxm*8,t4` made into GPUs with names of their own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

/* The buses of an eight-GPU board, as such hosts have them, then others. */
static const unsigned char buses[MAX_GPUS] = {0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf,
                                              0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb};

static uint64_t mix(uint64_t *seed)
{
    uint64_t value = *seed += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

static void write_uuid(char uuid[48], const char *prefix, uint64_t seed)
{
    uint64_t high = mix(&seed);
    uint64_t low = mix(&seed);
    snprintf(uuid, 48, "%s-%08x-%04x-%04x-%04x-%012llx", prefix, (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffff));
}

void fake_mig_uuid(const struct fake_gpu *gpu, unsigned gi, unsigned ci, char uuid[48])
{
    uint64_t seed = 0;
    for (const char *at = gpu->uuid; *at; at++)
        seed = seed * 31 + (unsigned char)*at;
    write_uuid(uuid, "MIG", seed + gi * 257 + ci + 1);
}

static void name(struct fake_gpu *gpu, unsigned slot, uint64_t seed)
{
    uint64_t own = seed * 1000003 + slot;
    write_uuid(gpu->uuid, "GPU", own);
    snprintf(gpu->serial, sizeof gpu->serial, "165%010llu",
             (unsigned long long)(mix(&own) % 10000000000));
    gpu->pci_bus = buses[slot];
    gpu->module = slot + 1;
}

/* What a GPU forgets when its driver is unloaded, and when the last client leaves it while
 * persistence mode is off. */
void fake_forget_settings(struct fake_gpu *gpu)
{
    gpu->limit_mw = gpu->model.power_default_mw;
    gpu->locked_sm_min_mhz = gpu->locked_sm_max_mhz = 0;
    gpu->locked_memory_min_mhz = gpu->locked_memory_max_mhz = 0;
    gpu->compute_mode = 0;
    gpu->accounting_mode = 0;
    gpu->accounted_count = 0;
    gpu->fan_manual = 0;
    memset(gpu->ecc[0][0], 0, sizeof gpu->ecc[0][0]);
    memset(gpu->ecc[1][0], 0, sizeof gpu->ecc[1][0]);
}

static void start(struct fake_gpu *gpu, double now_s)
{
    const struct fake_model *model = &gpu->model;
    fake_forget_settings(gpu);
    gpu->limit_step_mw = 1;
    gpu->pinned_power_w = gpu->pinned_temperature_c = gpu->pinned_memory_temperature_c = NAN;
    gpu->ecc_mode = gpu->ecc_pending = model->has_ecc;
    gpu->settled_s = now_s;
    gpu->average_power_w = gpu->power_w = model->power_idle_mw / 1e3;
    gpu->temperature_c = gpu->memory_temperature_c = model->ambient_c;
    gpu->remap_histogram[0] = model->has_remapped_rows ? 640 : 0;
    gpu->fabric_state = model->has_fabric ? 3 : 0;
    gpu->fabric_summary = model->has_fabric ? 1 : 0;
    gpu->fabric_clique = model->has_fabric ? 1 : 0;
    for (unsigned link = 0; link < model->links; link++)
        gpu->links[link].active = 1;
}

static const struct fake_model *find_model(const char *key, size_t length)
{
    for (unsigned i = 0; i < fake_model_count; i++)
        if (strlen(fake_models[i].key) == length && !memcmp(fake_models[i].key, key, length))
            return &fake_models[i];
    return NULL;
}

static int seat_one(struct fake_state *state, const struct fake_model *model, uint64_t seed)
{
    unsigned slot = state->gpu_count;
    if (slot == MAX_GPUS)
        return -1;
    struct fake_gpu *gpu = &state->gpus[slot];
    gpu->model = *model;
    name(gpu, slot, seed);
    start(gpu, fake_now(state));
    state->order[slot] = slot;
    state->gpu_count++;
    return 0;
}

/* The minor number is not the index: on boards with several GPUs it seldom is. */
static void number(struct fake_state *state)
{
    for (unsigned slot = 0; slot < state->gpu_count; slot++)
        state->gpus[slot].minor = (slot ^ 1) < state->gpu_count ? slot ^ 1 : slot;
}

int fake_seat(struct fake_state *state, const char *gpus, uint64_t seed)
{
    for (const char *at = gpus; *at; at += *at == ',') {
        size_t length = strcspn(at, "*,");
        const struct fake_model *model = find_model(at, length);
        at += length;
        unsigned long count = 1;
        if (*at == '*')
            count = strtoul(at + 1, (char **)&at, 10);
        if (!model || (*at && *at != ',') || count > MAX_GPUS)
            return -1;
        while (count--)
            if (seat_one(state, model, seed))
                return -1;
    }
    number(state);
    return state->gpu_count ? 0 : -1;
}
