#include "weights/expert_tables.h"

#include <algorithm>
#include <utility>

#include "base/arena.h"
#include "base/status.h"

namespace guildhall {

absl::StatusOr<std::shared_ptr<const ExpertTables>> MakeExpertTables(
    std::vector<std::vector<FfnWeights>> tables, DeviceMemory& memory) {
  auto made = std::make_shared<ExpertTables>();
  Arena sizes;
  for (std::vector<FfnWeights>& slots : tables) {
    sizes.Take<FfnWeights>(static_cast<int64_t>(slots.size()));
    made->tables.push_back({std::move(slots), nullptr});
    made->max_slots = std::max(made->max_slots, made->tables.back().size());
  }
  GH_ASSIGN_OR_RETURN(made->memory, memory.Allocate(sizes.bytes(), "expert tables"));
  GH_ASSIGN_OR_RETURN(const HostTwin twin, memory.MakeTwin(made->memory.data(), sizes.bytes()));
  Arena home(twin.home()), host(twin.data());
  for (ExpertTables::Table& table : made->tables) {
    table.device = home.Take<FfnWeights>(table.size());
    std::copy(table.slots.begin(), table.slots.end(), host.Take<FfnWeights>(table.size()));
  }
  GH_RETURN_IF_ERROR(memory.Upload(twin));
  return made;
}

}  // namespace guildhall
