/* Field values of NVLink. `scope` is the link, or ANY for all of them. */
#include "fields.h"

/* The older fields name the link in their number: links 0 to 5 and the total here, then 6 to 11. */
struct numbered {
    unsigned first, total, later;
    int error;
};

enum { REPLAY, RECOVERY, CRC_FLIT, CRC_DATA, ECC_DATA };

static const struct numbered numbered[] = {
    {32, 38, 96, CRC_FLIT},
    {39, 45, 102, CRC_DATA},
    {46, 52, 108, REPLAY},
    {53, 59, 114, RECOVERY},
};

static uint64_t errors(const struct fake_gpu *gpu, unsigned scope, int error)
{
    uint64_t sum = 0;
    for (unsigned link = 0; link < gpu->model.links; link++)
        if (scope == ANY || scope == link)
            sum += gpu->links[link].errors[error];
    return sum;
}

static nvml_result numbered_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    for (unsigned i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        const struct numbered *group = &numbered[i];
        if (field->id == group->total)
            return put(field, errors(gpu, ANY, group->error));
        unsigned link = ANY;
        if (field->id >= group->first && field->id < group->total)
            link = field->id - group->first;
        else if (field->id >= group->later && field->id < group->later + 6)
            link = field->id - group->later + 6;
        if (link == ANY)
            continue;
        SUPPORTED(link < gpu->model.links);
        return put(field, errors(gpu, link, group->error));
    }
    return NOT_MINE;
}

/* What went over one link, or over all: traffic spreads evenly over those that are up. */
static uint64_t traffic_kib(const struct fake_gpu *gpu, unsigned scope, int receives)
{
    double kib = receives ? gpu->total.nvlink_rx_kib_s : gpu->total.nvlink_tx_kib_s;
    unsigned active = fake_links_active(gpu);
    if (scope == ANY || !active)
        return (uint64_t)kib;
    return gpu->links[scope].active ? (uint64_t)(kib / active) : 0;
}

static int scope_is_valid(const struct fake_gpu *gpu, unsigned scope)
{
    return scope == ANY || scope < gpu->model.links;
}

static nvml_result scoped_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned id = field->id, scope = field->scope;
    NEED(scope_is_valid(gpu, scope));
    if (id >= 138 && id <= 141) { /* data sent and received, then with overhead */
        uint64_t kib = traffic_kib(gpu, scope, id % 2);
        return put(field, id >= 140 ? kib + kib / 8 : kib);
    }
    if (id == 161 || id == 162)
        return put(field, errors(gpu, scope, id == 161 ? REPLAY : RECOVERY));
    if (id == 163)
        return put(field, errors(gpu, scope, CRC_FLIT) + errors(gpu, scope, CRC_DATA));
    NEED(scope != ANY);
    if (id == 164)
        return put_small(field, gpu->links[scope].active ? gpu->model.link_mbps : 0);
    if (id == 165)
        return put_small(field, gpu->links[scope].active);
    if (id == 166)
        return put_small(field, gpu->model.link_version);
    return put_small(field, 0); /* full power */
}

/* The counters of NVLink 5. */
static nvml_result counter_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned id = field->id, scope = field->scope;
    SUPPORTED(gpu->model.has_link_counters);
    NEED(scope_is_valid(gpu, scope));
    switch (id) {
    case 201:
    case 203:
        return put(field, traffic_kib(gpu, scope, id == 203) * 4);
    case 202:
    case 204:
        return put(field, traffic_kib(gpu, scope, id == 204) * 1024);
    case 208:
    case 211:
        return put(field, errors(gpu, scope, CRC_FLIT));
    case 213:
    case 215:
        return put(field, errors(gpu, scope, RECOVERY));
    case 219:
    case 221:
        return put(field, errors(gpu, scope, ECC_DATA));
    case 205:
    case 216:
    case 217:
    case 218:
        return NOT_SUPPORTED; /* no longer in use */
    default:
        return put(field, 0);
    }
}

static int is_scoped(unsigned id)
{
    return (id >= 138 && id <= 141) || (id >= 161 && id <= 167);
}

static int is_speed(unsigned id)
{
    return (id >= 84 && id <= 90) || (id >= 132 && id <= 137);
}

static nvml_result speed_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned link = field->id >= 132 ? field->id - 132 + 6 : field->id - 84;
    if (field->id == 90)
        link = 0;
    SUPPORTED(link < gpu->model.links);
    return put_small(field, gpu->links[link].active ? gpu->model.link_mbps : 0);
}

static int is_of_links(unsigned id)
{
    return (id >= 32 && id <= 73) || (id >= 84 && id <= 91) || (id >= 96 && id <= 141) ||
           (id >= 146 && id <= 168) || (id >= 201 && id <= 225);
}

nvml_result fake_link_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned id = field->id;
    if (!is_of_links(id))
        return NOT_MINE;
    if (id == 91)
        return put_small(field, gpu->model.links);
    SUPPORTED(gpu->model.links);
    if (id == 147)
        return put_small(field, gpu->model.has_fabric ? fake_links_active(gpu) : 0);
    if (id == 160)
        return put(field, errors(gpu, ANY, ECC_DATA));
    if (is_speed(id))
        return speed_field(gpu, field);
    if (is_scoped(id))
        return scoped_field(gpu, field);
    if (id >= 201 && id <= 222)
        return counter_field(gpu, field);
    nvml_result result = numbered_field(gpu, field);
    return result == NOT_MINE ? NOT_SUPPORTED : result;
}
