/* The PCIe link: its speed, its width, its traffic and its errors. */
#include "fake.h"

/* Many boards lower the generation while they idle: less than the maximum is not a fault then. */
unsigned fake_pcie_generation(const struct fake_gpu *gpu)
{
    if (gpu->pinned_pcie_generation)
        return gpu->pinned_pcie_generation;
    return gpu->now.gpu_pct > 0 ? gpu->model.pcie_generation : gpu->model.pcie_idle_generation;
}

unsigned fake_pcie_width(const struct fake_gpu *gpu)
{
    return gpu->pinned_pcie_width ? gpu->pinned_pcie_width : gpu->model.pcie_width;
}

#define NUMBER(function, expression)                                       \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *number) \
    {                                                                      \
        ON_GPU(device);                                                    \
        NEED(number);                                                      \
        *number = (unsigned)(expression);                                  \
        return OK;                                                         \
    }

NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, fake_pcie_generation(gpu))
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, fake_pcie_width(gpu))
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, gpu->model.pcie_generation)
NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, gpu->model.pcie_generation)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, gpu->model.pcie_width)
NUMBER(nvmlDeviceGetPcieReplayCounter, gpu->pcie_replays)
NUMBER(nvmlDeviceGetPcieSpeed, 1250u << fake_pcie_generation(gpu))
NUMBER(nvmlDeviceGetPcieLinkMaxSpeed, gpu->model.pcie_generation)

NVML_EXPORT nvml_result nvmlDeviceGetPcieThroughput(nvml_device device, unsigned counter,
                                                    unsigned *kib_s)
{
    ON_GPU(device);
    NEED(kib_s && counter <= 1);
    *kib_s = (unsigned)(counter == 0 ? gpu->now.pcie_tx_kib_s : gpu->now.pcie_rx_kib_s);
    return OK;
}
