// One clear line for a call that failed.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

namespace guildhall {

// "INVALID_ARGUMENT: sampling.top_p: expected a value in (0, 1], found 2", with the fields, the retry hint
// and the server's address where they help. `server` is what the user asked for.
std::string ErrorText(const grpc::Status& status, const std::string& server);

// "INVALID_ARGUMENT"; "NOT_REACHED" where no server answered.
std::string ErrorCodeName(const grpc::Status& status);

// The exit code of a client command for a failed call: 2 when the server was not reached, else 3.
int ErrorExitCode(const grpc::Status& status);

}  // namespace guildhall
