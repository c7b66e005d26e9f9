// The content of a model's files in one number: kept readings are worth something for exactly these weights.
#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace lectern::inference {

/// XXH3-128 over the XXH3-128 of each file, as 32 hexadecimal digits: names and places do not matter, every byte does.
/// Reads all of it (2 to 10 GB/s), so the hash of each file is remembered in the file `memory` beside its size, inode
/// and times of modification and change, and computed again when one of them differs. `memory` may be empty: nothing is
/// remembered. A memory that is damaged or cannot be written costs time only. Throws Error{io} for a model file that
/// cannot be read.
std::string model_hash(std::span<const std::filesystem::path> files, const std::filesystem::path& memory);

}  // namespace lectern::inference
