/* Memory errors: ECC counters, remapped rows, retired pages. */
#include <string.h>

#include "fake.h"

enum { CORRECTED, UNCORRECTED };
enum { VOLATILE, AGGREGATE };

uint64_t fake_ecc_total(const struct fake_gpu *gpu, unsigned type, unsigned counter)
{
    uint64_t total = 0;
    for (int location = 0; location < ECC_LOCATIONS; location++)
        total += gpu->ecc[type][counter][location];
    return total;
}

static nvml_result check(const struct fake_gpu *gpu, unsigned type, unsigned counter)
{
    NEED(type <= UNCORRECTED && counter <= AGGREGATE);
    SUPPORTED(gpu->model.has_ecc && gpu->ecc_mode);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetTotalEccErrors(nvml_device device, unsigned type,
                                                    unsigned counter, unsigned long long *count)
{
    ON_GPU(device);
    NEED(count);
    nvml_result result = check(gpu, type, counter);
    if (result == OK)
        *count = fake_ecc_total(gpu, type, counter);
    return result;
}

/* From Ampere on errors are told of the memory and of SRAM as a whole, before of each cache. */
static int has_location(const struct fake_gpu *gpu, unsigned location)
{
    if (location == ECC_DRAM)
        return 1;
    return (location == ECC_SRAM) == (gpu->model.has_sram_ecc != 0);
}

NVML_EXPORT nvml_result nvmlDeviceGetMemoryErrorCounter(nvml_device device, unsigned type,
                                                        unsigned counter, unsigned location,
                                                        unsigned long long *count)
{
    ON_GPU(device);
    NEED(count && location < ECC_LOCATIONS);
    nvml_result result = check(gpu, type, counter);
    if (result != OK)
        return result;
    SUPPORTED(has_location(gpu, location));
    *count = gpu->ecc[type][counter][location];
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetDetailedEccErrors(nvml_device device, unsigned type,
                                                       unsigned counter,
                                                       struct nvml_ecc_counts *counts)
{
    ON_GPU(device);
    NEED(counts);
    nvml_result result = check(gpu, type, counter);
    if (result != OK)
        return result;
    counts->l1 = gpu->ecc[type][counter][ECC_L1];
    counts->l2 = gpu->ecc[type][counter][ECC_L2];
    counts->memory = gpu->ecc[type][counter][ECC_DRAM];
    counts->registers = gpu->ecc[type][counter][ECC_REGISTERS];
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSramEccErrorStatus(nvml_device device,
                                                        struct nvml_sram_status *status)
{
    ON_GPU(device);
    NEED(status);
    if (status->version != VERSION_OF(struct nvml_sram_status, 1))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.has_sram_ecc && gpu->ecc_mode);
    unsigned version = status->version;
    memset(status, 0, sizeof *status);
    status->version = version;
    status->aggregate_secded = gpu->ecc[UNCORRECTED][AGGREGATE][ECC_SRAM];
    status->aggregate_corrected = gpu->ecc[CORRECTED][AGGREGATE][ECC_SRAM];
    status->volatile_secded = gpu->ecc[UNCORRECTED][VOLATILE][ECC_SRAM];
    status->volatile_corrected = gpu->ecc[CORRECTED][VOLATILE][ECC_SRAM];
    status->bucket_sm = status->aggregate_secded;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceClearEccErrorCounts(nvml_device device, unsigned counter)
{
    ON_GPU_TO_WRITE(device);
    nvml_result result = check(gpu, CORRECTED, counter);
    if (result != OK)
        return result;
    memset(gpu->ecc[CORRECTED][counter], 0, sizeof gpu->ecc[CORRECTED][counter]);
    memset(gpu->ecc[UNCORRECTED][counter], 0, sizeof gpu->ecc[UNCORRECTED][counter]);
    return OK;
}

static int has_gpu_instances(const struct fake_gpu *gpu)
{
    for (int i = 0; i < MAX_GPU_INSTANCES; i++)
        if (gpu->gpu_instances[i].used)
            return 1;
    return 0;
}

NVML_EXPORT nvml_result nvmlDeviceGetRemappedRows(nvml_device device, unsigned *corrected,
                                                  unsigned *uncorrected, unsigned *pending,
                                                  unsigned *failure)
{
    ON_GPU(device);
    NEED(corrected && uncorrected && pending && failure);
    SUPPORTED(gpu->model.has_remapped_rows && !has_gpu_instances(gpu));
    *corrected = gpu->remapped_corrected;
    *uncorrected = gpu->remapped_uncorrected;
    *pending = gpu->remap_pending;
    *failure = gpu->remap_failure;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetRowRemapperHistogram(nvml_device device,
                                                          struct nvml_remap_histogram *values)
{
    ON_GPU(device);
    NEED(values);
    SUPPORTED(gpu->model.has_remapped_rows);
    values->max = gpu->remap_histogram[0];
    values->high = gpu->remap_histogram[1];
    values->partial = gpu->remap_histogram[2];
    values->low = gpu->remap_histogram[3];
    values->none = gpu->remap_histogram[4];
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetRepairStatus(nvml_device device, struct nvml_repair *status)
{
    ON_GPU(device);
    NEED(status);
    if (status->version != VERSION_OF(struct nvml_repair, 1))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.has_sram_ecc);
    status->channel_pending = 0;
    status->tpc_pending = 0;
    return OK;
}

uint64_t fake_retired_by(const struct fake_gpu *gpu, unsigned cause)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < gpu->retired_count; i++)
        count += gpu->retired[i].cause == cause;
    return count;
}

static nvml_result list_retired(const struct fake_gpu *gpu, unsigned cause, unsigned *count,
                                unsigned long long *addresses, unsigned long long *times)
{
    NEED(count && cause <= 1);
    SUPPORTED(gpu->model.has_retired_pages);
    unsigned room = addresses ? *count : 0;
    *count = (unsigned)fake_retired_by(gpu, cause);
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0, to = 0; i < gpu->retired_count; i++) {
        if (gpu->retired[i].cause != cause)
            continue;
        addresses[to] = gpu->retired[i].address;
        if (times)
            times[to] = gpu->retired[i].at_us;
        to++;
    }
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetRetiredPages(nvml_device device, unsigned cause,
                                                  unsigned *count, unsigned long long *addresses)
{
    ON_GPU(device);
    return list_retired(gpu, cause, count, addresses, NULL);
}

NVML_EXPORT nvml_result nvmlDeviceGetRetiredPages_v2(nvml_device device, unsigned cause,
                                                     unsigned *count,
                                                     unsigned long long *addresses,
                                                     unsigned long long *times)
{
    ON_GPU(device);
    return list_retired(gpu, cause, count, addresses, times);
}

NVML_EXPORT nvml_result nvmlDeviceGetRetiredPagesPendingStatus(nvml_device device,
                                                               unsigned *pending)
{
    ON_GPU(device);
    NEED(pending);
    SUPPORTED(gpu->model.has_retired_pages);
    *pending = gpu->retired_pending;
    return OK;
}
