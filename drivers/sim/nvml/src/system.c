/* What is asked of the library and the host: versions, counts, handles, words for errors. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fake.h"

#define ON_SYSTEM                                              \
    ENDS struct fake_call call = fake_begin_system(__func__); \
    if (call.result != OK)                                     \
    return call.result

NVML_EXPORT const char *nvmlErrorString(nvml_result result)
{
    static const char *const words[] = {
        "Success",
        "Uninitialized",
        "Invalid Argument",
        "Not Supported",
        "Insufficient Permissions",
        "Already Initialized",
        "Not Found",
        "Insufficient Size",
        "Insufficient External Power",
        "Driver Not Loaded",
        "Timeout",
        "Interrupt Request Issue",
        "NVML Shared Library Not Found",
        "Function Not Found",
        "Corrupted infoROM",
        "GPU is lost",
        "GPU requires reset",
        "GPU access blocked by the operating system",
        "Driver/library version mismatch",
        "In use by another client",
        "Insufficient Memory",
        "No data",
        "ECC not supported on the vGPU",
        "Insufficient resources",
        "Frequency not supported",
        "Argument version mismatch",
        "Deprecated",
        "System is not in ready state",
        "GPU not found",
        "Resource not in correct state",
    };
    return result < sizeof words / sizeof *words ? words[result] : "Unknown Error";
}

NVML_EXPORT nvml_result nvmlSystemGetDriverVersion(char *version, unsigned size)
{
    ON_SYSTEM;
    return fake_put_string(version, size, fake_driver_version);
}

NVML_EXPORT nvml_result nvmlSystemGetNVMLVersion(char *version, unsigned size)
{
    ON_SYSTEM;
    return fake_put_string(version, size, fake_nvml_version);
}

NVML_EXPORT nvml_result nvmlSystemGetDriverBranch(struct nvml_branch *info, unsigned size)
{
    ON_SYSTEM;
    NEED(info && size <= sizeof info->branch);
    if (info->version != VERSION_OF(struct nvml_branch, 1))
        return ARGUMENT_VERSION_MISMATCH;
    return fake_put_string(info->branch, size, fake_driver_branch);
}

NVML_EXPORT nvml_result nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    ON_SYSTEM;
    NEED(version);
    *version = fake_cuda_version;
    return OK;
}

NVML_EXPORT nvml_result nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

/* As the driver does it: the command line's first word of the process with this pid. */
NVML_EXPORT nvml_result nvmlSystemGetProcessName(unsigned pid, char *name, unsigned size)
{
    ON_SYSTEM;
    NEED(name && size);
    char path[32];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NOT_FOUND;
    size_t length = fread(name, 1, size - 1, file);
    fclose(file);
    name[length] = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetCount_v2(unsigned *count)
{
    ON_SYSTEM;
    NEED(count);
    unsigned slots[MAX_GPUS];
    *count = fake_enumerated(slots);
    return OK;
}

static nvml_result give(const struct fake_state *state, unsigned slot, nvml_device *device)
{
    if (state->gpus[slot].lost || state->gpus[slot].removed)
        return GPU_IS_LOST;
    *device = fake_device_handle(slot, NO_INSTANCE, NO_INSTANCE);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetHandleByIndex_v2(unsigned index, nvml_device *device)
{
    ON_SYSTEM;
    unsigned slots[MAX_GPUS];
    NEED(device && index < fake_enumerated(slots));
    return give(call.state, slots[index], device);
}

static int is_mig_uuid(struct fake_gpu *gpu, unsigned slot, const char *uuid, nvml_device *device)
{
    char own[48];
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++) {
        const struct fake_compute_instance *compute = &gpu->compute_instances[i];
        if (!compute->used)
            continue;
        fake_mig_uuid(gpu, compute->gpu_instance, compute->id, own);
        if (strcasecmp(own, uuid))
            continue;
        *device = fake_device_handle(slot, compute->gpu_instance, compute->id);
        return 1;
    }
    return 0;
}

NVML_EXPORT nvml_result nvmlDeviceGetHandleByUUID(const char *uuid, nvml_device *device)
{
    ON_SYSTEM;
    NEED(uuid && device);
    unsigned slots[MAX_GPUS];
    unsigned count = fake_enumerated(slots);
    for (unsigned i = 0; i < count; i++) {
        struct fake_gpu *gpu = &call.state->gpus[slots[i]];
        if (!strcasecmp(gpu->uuid, uuid))
            return give(call.state, slots[i], device);
        if (is_mig_uuid(gpu, slots[i], uuid, device))
            return OK;
    }
    return NOT_FOUND;
}

NVML_EXPORT nvml_result nvmlDeviceGetHandleBySerial(const char *serial, nvml_device *device)
{
    ON_SYSTEM;
    NEED(serial && device);
    unsigned slots[MAX_GPUS];
    unsigned count = fake_enumerated(slots);
    for (unsigned i = 0; i < count; i++) {
        const struct fake_gpu *gpu = &call.state->gpus[slots[i]];
        if (gpu->model.has_serial && !strcmp(gpu->serial, serial))
            return give(call.state, slots[i], device);
    }
    return NOT_FOUND;
}

NVML_EXPORT nvml_result nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvml_device *device)
{
    ON_SYSTEM;
    NEED(bus_id && device);
    unsigned slots[MAX_GPUS], domain = 0, bus = 0;
    if (sscanf(bus_id, "%x:%x:", &domain, &bus) != 2)
        return INVALID_ARGUMENT;
    unsigned count = fake_enumerated(slots);
    for (unsigned i = 0; i < count; i++) {
        const struct fake_gpu *gpu = &call.state->gpus[slots[i]];
        if (gpu->pci_domain == domain && gpu->pci_bus == bus)
            return give(call.state, slots[i], device);
    }
    return NOT_FOUND;
}

/* Taking a GPU out of the system and back: it needs to be drained and let go of. */
static struct fake_gpu *at_bus(struct fake_state *state, const struct nvml_pci *pci)
{
    for (unsigned slot = 0; slot < state->gpu_count; slot++)
        if (state->gpus[slot].pci_domain == pci->domain && state->gpus[slot].pci_bus == pci->bus)
            return &state->gpus[slot];
    return NULL;
}

NVML_EXPORT nvml_result nvmlDeviceModifyDrainState(const struct nvml_pci *pci, unsigned state)
{
    ON_SYSTEM;
    NEED(pci);
    struct fake_gpu *gpu = at_bus(call.state, pci);
    NEED(gpu);
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    if (state && gpu->persistence)
        return IN_USE;
    gpu->drained = state != 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceQueryDrainState(const struct nvml_pci *pci, unsigned *state)
{
    ON_SYSTEM;
    NEED(pci && state);
    const struct fake_gpu *gpu = at_bus(call.state, pci);
    NEED(gpu);
    *state = gpu->drained;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceRemoveGpu(const struct nvml_pci *pci)
{
    ON_SYSTEM;
    NEED(pci);
    struct fake_gpu *gpu = at_bus(call.state, pci);
    NEED(gpu);
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    if (!gpu->drained || gpu->persistence || gpu->process_count)
        return IN_USE;
    gpu->removed = 1;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceDiscoverGpus(const struct nvml_pci *pci)
{
    ON_SYSTEM;
    NEED(pci);
    struct fake_gpu *gpu = at_bus(call.state, pci);
    if (!gpu)
        return OPERATING_SYSTEM_ERROR;
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    gpu->removed = gpu->drained = 0;
    return OK;
}
