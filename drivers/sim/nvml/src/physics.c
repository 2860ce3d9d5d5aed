/* Power, clocks, heat and counters of a GPU, brought up to now at each call: no thread is needed,
 * and every process sees the same. Closed forms within a step, since load is constant there. */
#include <math.h>
#include <string.h>

#include "fake.h"

#define SHORTEST_STEP_S 0.25
#define MOST_STEPS 400
#define AVERAGE_S 1.0
#define CLOCK_EXPONENT 2.5 /* power over clock: voltage falls with it */

_Static_assert(sizeof(struct fake_load) == LOAD_KINDS * sizeof(double), "a load is an array");

static void add(struct fake_load *sum, const struct fake_load *load, double factor)
{
    double *to = (double *)sum;
    const double *from = (const double *)load;
    for (int kind = 0; kind < LOAD_KINDS; kind++)
        to[kind] += from[kind] * factor;
}

static void clamp(struct fake_load *load)
{
    double *value = (double *)load;
    for (int kind = 0; kind < PERCENT_KINDS; kind++)
        value[kind] = fmin(100, fmax(0, value[kind]));
}

/* The load of the GPU, or that of one GPU instance. */
void fake_busy(const struct fake_gpu *gpu, unsigned gpu_instance, struct fake_load *sum)
{
    memset(sum, 0, sizeof *sum);
    if (gpu_instance == ANY)
        *sum = gpu->load;
    for (unsigned i = 0; i < gpu->process_count; i++)
        if (gpu_instance == ANY || gpu->processes[i].gpu_instance == gpu_instance)
            add(sum, &gpu->processes[i].load, 1);
    clamp(sum);
}

unsigned fake_enforced_mw(const struct fake_gpu *gpu)
{
    unsigned cap = gpu->outside_cap_mw;
    return cap && cap < gpu->limit_mw ? cap : gpu->limit_mw;
}

uint64_t fake_energy_mj(const struct fake_gpu *gpu)
{
    return (uint64_t)(gpu->energy_j * 1e3);
}

static void note_heat(struct fake_gpu *gpu)
{
    if (gpu->temperature_c >= gpu->model.slowdown_c)
        gpu->reasons |= REASON_HW_SLOWDOWN | REASON_HW_THERMAL;
    else if (gpu->temperature_c >= gpu->model.operating_c)
        gpu->reasons |= REASON_SW_THERMAL;
}

/* The highest clock that locks and throttling leave. */
static double ceiling_mhz(struct fake_gpu *gpu)
{
    double top = gpu->model.sm_max_mhz;
    if (gpu->locked_sm_max_mhz && gpu->locked_sm_max_mhz < top) {
        top = gpu->locked_sm_max_mhz;
        gpu->reasons |= REASON_USER_CLOCKS;
    }
    if (gpu->reasons & (REASON_HW_SLOWDOWN | REASON_POWER_BRAKE))
        top *= 0.5;
    else if (gpu->reasons & REASON_SW_THERMAL)
        top *= 0.85;
    return fmax(top, gpu->model.sm_min_mhz);
}

static double draw_w(const struct fake_gpu *gpu, double mhz)
{
    double idle = gpu->model.power_idle_mw / 1e3;
    double span = gpu->model.power_full_mw / 1e3 - idle;
    double speed = pow(mhz / gpu->model.sm_max_mhz, CLOCK_EXPONENT);
    return idle + span * gpu->now.gpu_pct / 100 * speed;
}

/* The clock at which the draw meets the limit. The smallest clock may still draw more. */
static double capped_mhz(const struct fake_gpu *gpu, double limit_w)
{
    double idle = gpu->model.power_idle_mw / 1e3;
    double full = draw_w(gpu, gpu->model.sm_max_mhz) - idle;
    double share = fmax(0, limit_w - idle) / full;
    return fmax(gpu->model.sm_min_mhz, gpu->model.sm_max_mhz * pow(share, 1 / CLOCK_EXPONENT));
}

static void work(struct fake_gpu *gpu)
{
    double limit_w = fake_enforced_mw(gpu) / 1e3;
    gpu->sm_mhz = fmax(ceiling_mhz(gpu), fmin(gpu->locked_sm_min_mhz, gpu->model.sm_max_mhz));
    if (gpu->model.has_power_limit && draw_w(gpu, gpu->sm_mhz) > limit_w) {
        gpu->sm_mhz = fmin(gpu->sm_mhz, capped_mhz(gpu, limit_w));
        gpu->reasons |= REASON_POWER_CAP;
    }
    gpu->memory_mhz = gpu->model.memory_max_mhz;
    gpu->power_w = draw_w(gpu, gpu->sm_mhz);
}

static void rest(struct fake_gpu *gpu)
{
    gpu->reasons |= REASON_IDLE;
    gpu->sm_mhz = fmax(gpu->model.sm_idle_mhz, gpu->locked_sm_min_mhz);
    gpu->memory_mhz = gpu->model.memory_idle_mhz;
    gpu->power_w = gpu->model.power_idle_mw / 1e3;
}

/* What holds from now on, until something changes. */
static void decide(struct fake_gpu *gpu)
{
    fake_busy(gpu, ANY, &gpu->now);
    if (!isnan(gpu->pinned_temperature_c))
        gpu->temperature_c = gpu->pinned_temperature_c;
    gpu->memory_temperature_c = isnan(gpu->pinned_memory_temperature_c)
                                    ? gpu->temperature_c + 6
                                    : gpu->pinned_memory_temperature_c;
    gpu->reasons = gpu->forced_reasons;
    note_heat(gpu);
    if (gpu->now.gpu_pct > 0)
        work(gpu);
    else
        rest(gpu);
    if (gpu->locked_memory_max_mhz)
        gpu->memory_mhz = fmin(gpu->memory_mhz, gpu->locked_memory_max_mhz);
    if (!isnan(gpu->pinned_power_w))
        gpu->power_w = gpu->pinned_power_w;
}

static void heat(struct fake_gpu *gpu, double step_s)
{
    const struct fake_model *model = &gpu->model;
    double share = gpu->power_w / (model->power_full_mw / 1e3);
    double target = model->ambient_c + (model->full_c - (double)model->ambient_c) * share;
    double kept = exp(-step_s / model->heat_time_s);
    gpu->temperature_c = target + (gpu->temperature_c - target) * kept;
}

static void count_violations(struct fake_gpu *gpu, double step_s)
{
    static const uint64_t reasons[VIOLATIONS] = {
        REASON_POWER_CAP,
        REASON_SW_THERMAL | REASON_HW_THERMAL,
        REASON_SYNC_BOOST,
        0, /* board limit */
        0, /* low utilisation */
        0, /* reliability */
        REASON_SW_THERMAL,
        REASON_HW_THERMAL,
        REASON_POWER_BRAKE,
    };
    for (int kind = 0; kind < VIOLATIONS; kind++)
        if (gpu->reasons & reasons[kind])
            gpu->violation_s[kind] += step_s;
}

static void count_instances(struct fake_gpu *gpu, double step_s)
{
    struct fake_load load;
    for (int i = 0; i < MAX_GPU_INSTANCES; i++) {
        if (!gpu->gpu_instances[i].used)
            continue;
        fake_busy(gpu, gpu->gpu_instances[i].id, &load);
        add(&gpu->gpu_instances[i].total, &load, step_s);
    }
}

static void step(struct fake_gpu *gpu, double step_s)
{
    decide(gpu);
    double kept = exp(-step_s / AVERAGE_S);
    gpu->average_power_w = gpu->power_w + (gpu->average_power_w - gpu->power_w) * kept;
    gpu->energy_j += gpu->power_w * step_s;
    add(&gpu->total, &gpu->now, step_s);
    count_violations(gpu, step_s);
    if (gpu->mig_mode)
        count_instances(gpu, step_s);
    heat(gpu, step_s);
}

static void run_to(struct fake_gpu *gpu, double then_s)
{
    double span_s = then_s - gpu->settled_s;
    if (gpu->lost || gpu->removed || span_s <= 0)
        span_s = 0;
    double longest_s = fmax(SHORTEST_STEP_S, span_s / MOST_STEPS);
    while (span_s > 0) {
        double step_s = fmin(span_s, longest_s);
        step(gpu, step_s);
        span_s -= step_s;
    }
    gpu->settled_s = fmax(gpu->settled_s, then_s);
}

static void let_rival_write(struct fake_gpu *gpu)
{
    gpu->limit_mw = gpu->rival.limits_mw[gpu->rival.turn];
    gpu->rival.turn ^= 1;
    gpu->rival.writes++;
    gpu->rival.next_s += gpu->rival.period_s;
}

void fake_settle(struct fake_state *state, struct fake_gpu *gpu)
{
    double now = fake_now(state);
    while (gpu->rival.period_s > 0 && gpu->rival.next_s <= now) {
        run_to(gpu, gpu->rival.next_s);
        let_rival_write(gpu);
    }
    run_to(gpu, now);
    decide(gpu);
}
