/* GPM: two samples and what happened between them. A sample is what had added up by then. */
#include <stdlib.h>

#include "fake.h"

#define SAMPLE_MAGIC 0x6d70672d656b6166

struct sample {
    uint64_t magic;
    double at_s;
    unsigned slot, gpu_instance;
    struct fake_load total;
};

struct kind {
    unsigned id;
    unsigned offset;
    double factor;
    const char *name, *unit;
};

#define KIND(id, field, factor, name, unit) \
    {id, __builtin_offsetof(struct fake_load, field), factor, name, unit}

static const struct kind kinds[] = {
    KIND(1, gpu_pct, 1, "graphics_util", "%"),
    KIND(2, sm_active_pct, 1, "sm_util", "%"),
    KIND(3, sm_occupancy_pct, 1, "sm_occupancy", "%"),
    KIND(4, integer_pct, 1, "integer_util", "%"),
    KIND(5, tensor_pct, 1, "any_tensor_util", "%"),
    KIND(7, tensor_pct, 1, "hmma_tensor_util", "%"),
    KIND(10, dram_pct, 1, "dram_bw_util", "%"),
    KIND(11, fp64_pct, 1, "fp64_util", "%"),
    KIND(12, fp32_pct, 1, "fp32_util", "%"),
    KIND(13, fp16_pct, 1, "fp16_util", "%"),
    KIND(20, pcie_tx_kib_s, 1.0 / 1024, "pcie_tx_per_sec", "MiB/s"),
    KIND(21, pcie_rx_kib_s, 1.0 / 1024, "pcie_rx_per_sec", "MiB/s"),
    KIND(30, decoder_pct, 1, "nvdec_0_util", "%"),
    KIND(40, jpeg_pct, 1, "nvjpg_0_util", "%"),
    KIND(50, ofa_pct, 1, "nvofa_0_util", "%"),
    KIND(60, nvlink_rx_kib_s, 1.0 / 1024, "nvlink_total_rx_per_sec", "MiB/s"),
    KIND(61, nvlink_tx_kib_s, 1.0 / 1024, "nvlink_total_tx_per_sec", "MiB/s"),
};

NVML_EXPORT nvml_result nvmlGpmQueryDeviceSupport(nvml_device device,
                                                  struct nvml_gpm_support *support)
{
    ON_GPU(device);
    NEED(support);
    if (support->version != 1)
        return ARGUMENT_VERSION_MISMATCH;
    support->supported = gpu->model.has_gpm;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpmSampleAlloc(void **handle)
{
    ENDS struct fake_call call = fake_begin_system(__func__);
    if (call.result != OK)
        return call.result;
    NEED(handle);
    struct sample *sample = calloc(1, sizeof *sample);
    if (!sample)
        return NO_MEMORY;
    sample->magic = SAMPLE_MAGIC;
    sample->slot = ANY;
    *handle = sample;
    call.state->gpm_samples++;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpmSampleFree(void *handle)
{
    struct sample *sample = handle;
    if (!sample || sample->magic != SAMPLE_MAGIC)
        return INVALID_ARGUMENT;
    sample->magic = 0;
    free(sample);
    if (fake_attached())
        __atomic_fetch_sub(&fake_attached()->gpm_samples, 1, __ATOMIC_RELAXED);
    return OK;
}

static nvml_result take(struct fake_call *call, unsigned gpu_instance, struct sample *sample)
{
    struct fake_gpu *gpu = call->gpu;
    NEED(sample && sample->magic == SAMPLE_MAGIC);
    SUPPORTED(gpu->model.has_gpm);
    sample->at_s = gpu->settled_s;
    sample->slot = call->place.slot;
    sample->gpu_instance = gpu_instance;
    sample->total = gpu->total;
    if (gpu_instance == ANY)
        return OK;
    const struct fake_gpu_instance *instance = fake_gpu_instance(gpu, gpu_instance);
    NEED(instance);
    sample->total = instance->total;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpmSampleGet(nvml_device device, void *sample)
{
    ON_GPU(device);
    return take(&call, ANY, sample);
}

NVML_EXPORT nvml_result nvmlGpmMigSampleGet(nvml_device device, unsigned gpu_instance, void *sample)
{
    ON_GPU(device);
    SUPPORTED(gpu->mig_mode);
    return take(&call, gpu_instance, sample);
}

static void compute(const struct sample *first, const struct sample *second,
                    struct nvml_gpm_metric *metric)
{
    metric->result = NOT_SUPPORTED;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *kind = &kinds[i];
        if (kind->id != metric->id)
            continue;
        double from = *(const double *)((const char *)&first->total + kind->offset);
        double to = *(const double *)((const char *)&second->total + kind->offset);
        metric->value = (to - from) / (second->at_s - first->at_s) * kind->factor;
        metric->short_name = metric->long_name = kind->name;
        metric->unit = kind->unit;
        metric->result = OK;
    }
}

NVML_EXPORT nvml_result nvmlGpmMetricsGet(struct nvml_gpm_metrics *metrics)
{
    ENDS struct fake_call call = fake_begin_system(__func__);
    if (call.result != OK)
        return call.result;
    NEED(metrics);
    if (metrics->version != 1)
        return ARGUMENT_VERSION_MISMATCH;
    const struct sample *first = metrics->first, *second = metrics->second;
    NEED(first && second && first->magic == SAMPLE_MAGIC && second->magic == SAMPLE_MAGIC);
    NEED(first->slot == second->slot && first->slot != ANY && second->at_s > first->at_s);
    for (unsigned i = 0; i < metrics->count; i++)
        compute(first, second, &metrics->metrics[i]);
    return OK;
}
