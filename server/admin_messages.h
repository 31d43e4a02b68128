// Between the administration's messages and what the server works with.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "guildhall/v1/admin.pb.h"
#include "server/adapter_catalog.h"
#include "server/task_registry.h"

namespace guildhall {

void FillAdapterUses(std::span<const AdapterUse> from,
                     google::protobuf::RepeatedPtrField<v1::AdapterUse>& to);
void FillAdapter(const AdapterInfo& from, const std::vector<std::string>& tasks, v1::AdapterInfo& to);
void FillBudget(const ByteBudget& budget, std::span<const AdapterInfo> adapters, v1::MemoryBudget& to);

// A duration from 0 to a day; FieldError otherwise.
absl::StatusOr<absl::Duration> ReadDuration(const google::protobuf::Duration& from, const char* field);

// By the rules of the configuration file; what the message leaves open is as in `begin`. INVALID_ARGUMENT
// with the field ("task.sampling.top_p").
absl::StatusOr<TaskConfig> ReadTaskDefinition(const v1::TaskDefinition& from, TaskConfig begin);

}  // namespace guildhall
