// The same messages said in the ways that chat templates read them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/validate.h"

namespace guildhall {

// What a template may need said otherwise than it was sent.
struct ChatForm {
  bool joined_parts = false;       // text in place of parts, which are joined by line ends
  bool empty_content = false;      // "" in place of a content that was not set
  bool swapped_arguments = false;  // text in place of an object of arguments, and the reverse
};

// The forms of `chat` in the order in which they are tried, the one that was sent first. `takes_parts` is the
// template's (ChatTemplate::TakesParts).
std::vector<ChatForm> ChatForms(const ChatPrompt& chat, bool takes_parts);

// messages_json of `chat` in that form.
absl::StatusOr<std::string> MessagesJson(const ChatPrompt& chat, const ChatForm& form);

}  // namespace guildhall
