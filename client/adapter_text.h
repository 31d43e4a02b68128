// Adapters as tables for people.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>

#include "guildhall/v1/admin.pb.h"

namespace guildhall {

// "math:0.5, intent": the names, with the factors that are not 1.
std::string AdapterUsesText(const google::protobuf::RepeatedPtrField<v1::AdapterUse>& uses);
std::string AdapterTable(const google::protobuf::RepeatedPtrField<v1::AdapterInfo>& adapters);
// One line: what shares the budget, and what is free.
std::string BudgetText(const v1::MemoryBudget& budget);

}  // namespace guildhall
