/* NVLink: the state of each link and its errors; and the fabric behind a switch. */
#include <string.h>

#include "fake.h"

unsigned fake_links_active(const struct fake_gpu *gpu)
{
    unsigned active = 0;
    for (unsigned link = 0; link < gpu->model.links; link++)
        active += gpu->links[link].active;
    return active;
}

#define ON_LINK(device, link)       \
    ON_GPU(device);                 \
    SUPPORTED(gpu->model.links);    \
    NEED((link) < gpu->model.links)

NVML_EXPORT nvml_result nvmlDeviceGetNvLinkState(nvml_device device, unsigned link,
                                                 unsigned *active)
{
    ON_LINK(device, link);
    NEED(active);
    *active = gpu->links[link].active;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetNvLinkVersion(nvml_device device, unsigned link,
                                                   unsigned *version)
{
    ON_LINK(device, link);
    NEED(version);
    *version = gpu->model.link_version;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetNvLinkCapability(nvml_device device, unsigned link,
                                                      unsigned capability, unsigned *result)
{
    ON_LINK(device, link);
    NEED(result && capability < 6);
    *result = capability != 4; /* everything but the bridge of old workstations */
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetNvLinkErrorCounter(nvml_device device, unsigned link,
                                                        unsigned counter,
                                                        unsigned long long *count)
{
    ON_LINK(device, link);
    NEED(count && counter < LINK_ERRORS);
    *count = gpu->links[link].errors[counter];
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceResetNvLinkErrorCounters(nvml_device device, unsigned link)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.links);
    NEED(link < gpu->model.links);
    memset(gpu->links[link].errors, 0, sizeof gpu->links[link].errors);
    return OK;
}

/* The other end: a switch where there is a fabric, else the next GPU. */
NVML_EXPORT nvml_result nvmlDeviceGetNvLinkRemoteDeviceType(nvml_device device, unsigned link,
                                                            unsigned *type)
{
    ON_LINK(device, link);
    NEED(type);
    *type = gpu->model.has_fabric ? 2 : 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuFabricInfo(nvml_device device, struct nvml_fabric *info)
{
    ON_GPU(device);
    NEED(info);
    SUPPORTED(gpu->model.has_fabric);
    memset(info, 0, sizeof *info);
    info->status = gpu->fabric_status;
    info->clique = gpu->fabric_clique;
    info->state = gpu->fabric_state;
    return OK;
}

/* The second version ends before the summary; the third is the second and the summary. */
#define FABRIC_V2 (0x02000000u | 36)

NVML_EXPORT nvml_result nvmlDeviceGetGpuFabricInfoV(nvml_device device,
                                                    struct nvml_fabric_v3 *info)
{
    ON_GPU(device);
    NEED(info);
    unsigned version = info->version;
    if (version != FABRIC_V2 && version != VERSION_OF(struct nvml_fabric_v3, 3))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.has_fabric);
    memset(info->cluster, 0, sizeof info->cluster);
    info->status = gpu->fabric_status;
    info->clique = gpu->fabric_clique;
    info->state = gpu->fabric_state;
    info->health = gpu->fabric_health;
    if (version != FABRIC_V2)
        info->summary = (uint8_t)gpu->fabric_summary;
    return OK;
}
