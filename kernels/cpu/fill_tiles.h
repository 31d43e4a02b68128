// Enters the tiles of a weight format into a level's table, for every height and number of panels.
#pragma once

#include "kernels/cpu/micro_kernels.h"

namespace guildhall {

// `Tile` has a static member template Run<R, P>(const TileArgs&), for R rows and P panels, and is declared in
// the unnamed namespace of the level's file: so what is instantiated here belongs to that file alone, and no
// other level can be linked to code that was compiled for this one.
template <typename Tile, int P>
void FillPanels(TileFunction* rows) {
  static_assert(kMaxTileRows == 6);
  rows[0] = Tile::template Run<1, P>;
  rows[1] = Tile::template Run<2, P>;
  rows[2] = Tile::template Run<3, P>;
  rows[3] = Tile::template Run<4, P>;
  rows[4] = Tile::template Run<5, P>;
  rows[5] = Tile::template Run<6, P>;
}

// Of a float format, whose groups have up to `Panels` panels.
template <typename Tile, int Panels>
void FillTiles(WeightFormat format, MicroKernels& kernels) {
  const auto index = static_cast<int>(format);
  kernels.group_panels[index] = Panels;
  FillPanels<Tile, 1>(kernels.tile[index][0]);
  FillPanels<Tile, 2>(kernels.tile[index][1]);
  if constexpr (Panels == 4) {
    FillPanels<Tile, 3>(kernels.tile[index][2]);
    FillPanels<Tile, 4>(kernels.tile[index][3]);
  }
}

// Of a quantized format: its rows are codes, too.
template <typename Tile>
void FillQuantizedTiles(WeightFormat format, MicroKernels& kernels) {
  kernels.row_format[static_cast<int>(format)] = RowFormat::kInt8;
  FillTiles<Tile, kQuantizedGroupPanels>(format, kernels);
}

}  // namespace guildhall
