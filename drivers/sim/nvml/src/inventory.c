/* Who a GPU is: what does not change while it stands in the host. */
#include <stdio.h>
#include <string.h>

#include "fake.h"

#define NUMBER(function, expression)                                       \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *number) \
    {                                                                      \
        ON_GPU(device);                                                    \
        NEED(number);                                                      \
        *number = (expression);                                            \
        return OK;                                                         \
    }

NUMBER(nvmlDeviceGetMinorNumber, gpu->minor)
NUMBER(nvmlDeviceGetBoardId, gpu->pci_bus << 8)
NUMBER(nvmlDeviceGetMultiGpuBoard, 0)
NUMBER(nvmlDeviceGetBrand, gpu->model.brand)
NUMBER(nvmlDeviceGetArchitecture, gpu->model.architecture)
NUMBER(nvmlDeviceGetNumGpuCores, gpu->model.cores)
NUMBER(nvmlDeviceGetMemoryBusWidth, gpu->model.memory_bus_bits)
NUMBER(nvmlDeviceGetModuleId, gpu->module)
NUMBER(nvmlDeviceGetBusType, 2)
NUMBER(nvmlDeviceGetPowerSource, 0)
NUMBER(nvmlDeviceGetIrqNum, 128 + gpu->minor)
NUMBER(nvmlDeviceGetDisplayMode, 0)
NUMBER(nvmlDeviceGetDisplayActive, 0)
NUMBER(nvmlDeviceGetVirtualizationMode, 0)

NVML_EXPORT nvml_result nvmlDeviceGetIndex(nvml_device device, unsigned *index)
{
    ON_GPU(device);
    NEED(index);
    unsigned slots[MAX_GPUS];
    unsigned count = fake_enumerated(slots);
    for (unsigned i = 0; i < count; i++)
        if (slots[i] == call.place.slot) {
            *index = i;
            return OK;
        }
    return NOT_FOUND;
}

/* A MIG device is named after its GPU and its profile. */
static void mig_name(struct fake_gpu *gpu, unsigned gi, char *name, size_t size)
{
    const struct fake_gpu_instance *instance = fake_gpu_instance(gpu, gi);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, instance->profile);
    snprintf(name, size, "%s MIG %s", gpu->model.name, profile->name);
}

NVML_EXPORT nvml_result nvmlDeviceGetName(nvml_device device, char *name, unsigned size)
{
    ON_ANY(device);
    if (call.place.gpu_instance == NO_INSTANCE)
        return fake_put_string(name, size, gpu->model.name);
    char own[96];
    mig_name(gpu, call.place.gpu_instance, own, sizeof own);
    return fake_put_string(name, size, own);
}

NVML_EXPORT nvml_result nvmlDeviceGetUUID(nvml_device device, char *uuid, unsigned size)
{
    ON_ANY(device);
    if (call.place.gpu_instance == NO_INSTANCE)
        return fake_put_string(uuid, size, gpu->uuid);
    char own[48];
    fake_mig_uuid(gpu, call.place.gpu_instance, call.place.compute_instance, own);
    return fake_put_string(uuid, size, own);
}

NVML_EXPORT nvml_result nvmlDeviceGetSerial(nvml_device device, char *serial, unsigned size)
{
    ON_GPU(device);
    SUPPORTED(gpu->model.has_serial);
    return fake_put_string(serial, size, gpu->serial);
}

NVML_EXPORT nvml_result nvmlDeviceGetBoardPartNumber(nvml_device device, char *part, unsigned size)
{
    ON_GPU(device);
    SUPPORTED(gpu->model.part[0]);
    return fake_put_string(part, size, gpu->model.part);
}

NVML_EXPORT nvml_result nvmlDeviceGetVbiosVersion(nvml_device device, char *version, unsigned size)
{
    ON_GPU(device);
    return fake_put_string(version, size, gpu->model.vbios);
}

NVML_EXPORT nvml_result nvmlDeviceGetInforomImageVersion(nvml_device device, char *version,
                                                         unsigned size)
{
    ON_GPU(device);
    SUPPORTED(gpu->model.inforom[0]);
    return fake_put_string(version, size, gpu->model.inforom);
}

NVML_EXPORT nvml_result nvmlDeviceGetInforomVersion(nvml_device device, unsigned object,
                                                    char *version, unsigned size)
{
    static const char *const versions[] = {"2.1", "7.16", "", ""}; /* OEM, ECC, power, density */
    ON_GPU(device);
    NEED(object < 4);
    SUPPORTED(gpu->model.inforom[0] && versions[object][0]);
    SUPPORTED(object != 1 || gpu->model.has_ecc);
    return fake_put_string(version, size, versions[object]);
}

NVML_EXPORT nvml_result nvmlDeviceGetInforomConfigurationChecksum(nvml_device device,
                                                                  unsigned *checksum)
{
    ON_GPU(device);
    NEED(checksum);
    SUPPORTED(gpu->model.inforom[0]);
    *checksum = gpu->model.pci_subsystem ^ 0x5eed5eed;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetCudaComputeCapability(nvml_device device, int *major,
                                                           int *minor)
{
    ON_ANY(device);
    NEED(major && minor);
    *major = (int)gpu->model.compute_major;
    *minor = (int)gpu->model.compute_minor;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGspFirmwareVersion(nvml_device device, char *version)
{
    ON_GPU(device);
    NEED(version);
    SUPPORTED(gpu->model.architecture >= ARCH_TURING);
    strcpy(version, fake_driver_version);
    return OK;
}

static void fill_pci(const struct fake_gpu *gpu, struct nvml_pci *pci)
{
    memset(pci, 0, sizeof *pci);
    pci->domain = gpu->pci_domain;
    pci->bus = gpu->pci_bus;
    pci->pci_device = gpu->model.pci_device;
    pci->pci_subsystem = gpu->model.pci_subsystem;
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%04X:%02X:00.0",
             gpu->pci_domain & 0xffff, gpu->pci_bus & 0xff);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:00.0", gpu->pci_domain,
             gpu->pci_bus & 0xff);
}

NVML_EXPORT nvml_result nvmlDeviceGetPciInfo_v3(nvml_device device, struct nvml_pci *pci)
{
    ON_GPU(device);
    NEED(pci);
    fill_pci(gpu, pci);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetPciInfoExt(nvml_device device, struct nvml_pci_ext *pci)
{
    ON_GPU(device);
    NEED(pci);
    if (pci->version != VERSION_OF(struct nvml_pci_ext, 1))
        return ARGUMENT_VERSION_MISMATCH;
    struct nvml_pci plain;
    fill_pci(gpu, &plain);
    pci->domain = plain.domain;
    pci->bus = plain.bus;
    pci->device = plain.device;
    pci->pci_device = plain.pci_device;
    pci->pci_subsystem = plain.pci_subsystem;
    pci->base_class = 3; /* display controller */
    pci->sub_class = 2;  /* 3D controller */
    memcpy(pci->bus_id, plain.bus_id, sizeof pci->bus_id);
    return OK;
}

/* A matter of Windows: the function is there, and has nothing to say. */
NVML_EXPORT nvml_result nvmlDeviceGetDriverModel(nvml_device device, unsigned *current,
                                                 unsigned *pending)
{
    ON_GPU(device);
    NEED(current && pending);
    return NOT_SUPPORTED;
}

NVML_EXPORT nvml_result nvmlDeviceGetDriverModel_v2(nvml_device device, unsigned *current,
                                                    unsigned *pending)
{
    return nvmlDeviceGetDriverModel(device, current, pending);
}
