/* Handles of GPUs, MIG devices and instances, as numbers: tag, epoch, slot and instances. */
#include "fake.h"

#define DEVICE_TAG 0x5a
#define INSTANCE_TAG 0x5b

static void *pack(unsigned tag, unsigned slot, unsigned gi, unsigned ci)
{
    uint64_t instances = (uint64_t)((gi + 1) & 0xff) << 8 | ((ci + 1) & 0xff);
    uint64_t number =
        (uint64_t)tag << 48 | (uint64_t)(fake_epoch() & 0xffff) << 32 | (slot + 1) << 16 | instances;
    return (void *)(uintptr_t)number;
}

static int unpack(const void *handle, unsigned tag, struct fake_place *place)
{
    uint64_t number = (uintptr_t)handle;
    if (number >> 48 != tag || (number >> 32 & 0xffff) != (fake_epoch() & 0xffff))
        return 0;
    unsigned gi = number >> 8 & 0xff;
    unsigned ci = number & 0xff;
    place->slot = (unsigned)(number >> 16 & 0xffff) - 1;
    place->gpu_instance = gi ? gi - 1 : NO_INSTANCE;
    place->compute_instance = ci ? ci - 1 : NO_INSTANCE;
    return place->slot < MAX_GPUS;
}

nvml_device fake_device_handle(unsigned slot, unsigned gpu_instance, unsigned compute_instance)
{
    return pack(DEVICE_TAG, slot, gpu_instance, compute_instance);
}

nvml_instance fake_instance_handle(unsigned slot, unsigned gpu_instance, unsigned compute_instance)
{
    return pack(INSTANCE_TAG, slot, gpu_instance, compute_instance);
}

int fake_device_place(nvml_device device, struct fake_place *place)
{
    return unpack(device, DEVICE_TAG, place);
}

int fake_instance_place(nvml_instance instance, struct fake_place *place)
{
    return unpack(instance, INSTANCE_TAG, place);
}
