// Where models lie, and how people name them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::inference {

/// The user's folder of models: $XDG_DATA_HOME/lectern/models, else ~/.local/share/lectern/models.
std::filesystem::path models_folder();
/// The GGUF files (of several parts the first) and Hugging Face folders in it, by name.
std::vector<std::filesystem::path> list_models(const std::filesystem::path& folder = models_folder());
/// `name`: a path, or the name of a model of the folder, with or without ".gguf", upper or lower case; empty: the
/// default model, else the first there is. Throws Error{io} saying what to do when there is none.
std::filesystem::path find_model(std::string_view name, const std::filesystem::path& folder = models_folder());

}  // namespace lectern::inference
