// The outputs of a matrix that are packed together.
#pragma once

namespace guildhall {

inline constexpr int kPanelColumns = 16;

}  // namespace guildhall
