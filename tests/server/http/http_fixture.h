// A test server with its HTTP listener, and JSON in and out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tests/server/fixture.h"
#include "tests/support/http1_client.h"

namespace guildhall {

// TestConfig with HTTP on a port that the system chooses.
ServerConfig HttpTestConfig();
std::string HttpTarget(TestServer& server);

// CHECKs that the text is JSON.
Json Parsed(const std::string& text);
http1::Answer Post(TestServer& server, std::string_view path, const Json& body);
// The objects of a stream, without comments and without the last one, "[DONE]", which `done` tells of.
std::vector<Json> Events(const std::string& body, bool& done);

// The script says `text`, then the end token, when the prompt is the one token `id`.
ScriptedModel::Options Saying(int32_t id, const std::string& text);

}  // namespace guildhall
