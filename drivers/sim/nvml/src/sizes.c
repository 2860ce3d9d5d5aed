/* The size of each struct that crosses the interface, for the test that holds them against the
 * Python binding's. */
#include <string.h>

#include "abi.h"

#define SIZE(type) {#type, sizeof(struct type)}

static const struct {
    const char *name;
    unsigned size;
} sizes[] = {
    SIZE(nvml_pci),
    SIZE(nvml_pci_ext),
    SIZE(nvml_branch),
    SIZE(nvml_memory),
    SIZE(nvml_memory_v2),
    SIZE(nvml_bar1),
    SIZE(nvml_utilization),
    SIZE(nvml_process),
    SIZE(nvml_process_detail),
    SIZE(nvml_process_details),
    SIZE(nvml_process_sample),
    SIZE(nvml_process_utilization),
    SIZE(nvml_processes_utilization),
    SIZE(nvml_accounting),
    SIZE(nvml_temperature),
    SIZE(nvml_margin),
    SIZE(nvml_fan_speed),
    SIZE(nvml_power_value),
    SIZE(nvml_violation),
    SIZE(nvml_ecc_counts),
    SIZE(nvml_sram_status),
    SIZE(nvml_remap_histogram),
    SIZE(nvml_repair),
    SIZE(nvml_field),
    SIZE(nvml_event),
    SIZE(nvml_fabric),
    SIZE(nvml_fabric_v3),
    SIZE(nvml_gpm_metric),
    SIZE(nvml_gpm_metrics),
    SIZE(nvml_gpm_support),
    SIZE(nvml_placement),
    SIZE(nvml_gpu_profile),
    SIZE(nvml_gpu_profile_v2),
    SIZE(nvml_gpu_instance),
    SIZE(nvml_compute_profile),
    SIZE(nvml_compute_profile_v2),
    SIZE(nvml_compute_instance),
    SIZE(nvml_attributes),
};

/* 0 for a struct that there is not. */
NVML_EXPORT unsigned fake_size_of(const char *name)
{
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!strcmp(sizes[i].name, name))
            return sizes[i].size;
    return 0;
}
