#include "client/adapter_text.h"

#include <algorithm>
#include <cstdio>

#include "base/format_bytes.h"
#include "client/table.h"

namespace guildhall {
namespace {

// "READY" of STATE_READY, in small letters.
std::string Small(const std::string& name, size_t prefix) {
  std::string text = name.substr(std::min(prefix, name.size()));
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::string StateText(const v1::AdapterInfo& adapter) {
  std::string text = Small(v1::AdapterInfo::State_Name(adapter.state()), sizeof("STATE_") - 1);
  if (adapter.state() == v1::AdapterInfo::STATE_LOADING && adapter.progress() > 0.0) {
    char share[16];
    std::snprintf(share, sizeof(share), " %.0f %%", adapter.progress() * 100.0);
    text += share;
  }
  if (adapter.shut_off()) return text + ", shut off";
  return adapter.faults() == 0 ? text : text + ", " + std::to_string(adapter.faults()) + " faults";
}

std::string FaultText(const v1::AdapterInfo& adapter) {
  if (adapter.faults() == 0) return "";
  return adapter.name() + ": " + std::to_string(adapter.faults()) + " requests failed, " +
         std::to_string(adapter.consecutive_faults()) +
         " of them in a row at the end; the last one: " + adapter.last_fault() + "\n";
}

}  // namespace

std::string AdapterUsesText(const google::protobuf::RepeatedPtrField<v1::AdapterUse>& uses) {
  std::string text;
  for (const v1::AdapterUse& use : uses) {
    text += (text.empty() ? "" : ", ") + use.name();
    if (!use.has_scale() || use.scale() == 1.0f) continue;
    char scale[32];
    std::snprintf(scale, sizeof(scale), ":%g", static_cast<double>(use.scale()));
    text += scale;
  }
  return text;
}

std::string AdapterTable(const google::protobuf::RepeatedPtrField<v1::AdapterInfo>& adapters) {
  Table table({{"ADAPTER"},
               {"VERSION", true},
               {"KIND"},
               {"STATE"},
               {"TIER"},
               {"PINNED"},
               {"WEIGHTS", true},
               {"MEMORY", true},
               {"READERS", true},
               {"LAST USED", true},
               {"TASKS"},
               {"PATH"}});
  const double now = UnixNow();
  for (const v1::AdapterInfo& adapter : adapters) {
    std::string tasks;
    for (const std::string& task : adapter.tasks()) tasks += (tasks.empty() ? "" : ", ") + task;
    table.Add({adapter.name(), std::to_string(adapter.version()), adapter.kind(), StateText(adapter),
               Small(v1::AdapterInfo::Tier_Name(adapter.tier()), sizeof("TIER_") - 1),
               adapter.pinned() ? "yes" : "no", FormatBytes(adapter.tensor_bytes()),
               FormatBytes(adapter.mapped_bytes()), std::to_string(adapter.readers()),
               AgoText(adapter.last_used(), now), tasks, adapter.path()});
  }
  std::string text = table.Text();
  for (const v1::AdapterInfo& adapter : adapters) text += FaultText(adapter);
  return text;
}

std::string BudgetText(const v1::MemoryBudget& budget) {
  const uint64_t used = budget.kv_cache() + budget.adapters();
  return "budget   " + FormatBytes(budget.total()) + ": KV cache " + FormatBytes(budget.kv_cache()) +
         ", adapters " + FormatBytes(budget.adapters()) + " (" + FormatBytes(budget.pinned()) +
         " pinned), free " + FormatBytes(budget.total() > used ? budget.total() - used : 0) + "\n";
}

}  // namespace guildhall
