// What listeners have counted, as a table for people.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>

#include "guildhall/v1/admin.pb.h"

namespace guildhall {

std::string ListenerTable(const google::protobuf::RepeatedPtrField<v1::ListenerStatus>& listeners);

}  // namespace guildhall
