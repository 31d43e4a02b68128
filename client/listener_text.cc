#include "client/listener_text.h"

#include "client/table.h"

namespace guildhall {

std::string ListenerTable(const google::protobuf::RepeatedPtrField<v1::ListenerStatus>& listeners) {
  Table table({{"LISTENER"},
               {"CONNECTIONS", true},
               {"ACCEPTED", true},
               {"REFUSED", true},
               {"NOT ACCEPTED", true},
               {"CLOSED IDLE", true},
               {"CLOSED HOSTILE", true},
               {"CALLS", true},
               {"CALLS REFUSED", true},
               {"CALLS RESET", true}});
  for (const v1::ListenerStatus& listener : listeners) {
    table.Add({listener.name(),
               std::to_string(listener.connections()) + " of " + std::to_string(listener.connections_most()),
               std::to_string(listener.accepted_connections()),
               std::to_string(listener.refused_connections()), std::to_string(listener.accept_failures()),
               std::to_string(listener.idle_connections_closed()),
               std::to_string(listener.hostile_connections_closed()), std::to_string(listener.calls()),
               std::to_string(listener.refused_calls()), std::to_string(listener.reset_calls())});
  }
  return table.Text();
}

}  // namespace guildhall
