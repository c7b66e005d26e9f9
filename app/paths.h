// Where Lectern keeps its things (XDG base directories); tests isolate themselves with XDG_*.
#pragma once

#include <string>

namespace lectern::app {

std::string data_folder();      // $XDG_DATA_HOME/lectern, made if missing
std::string config_folder();    // $XDG_CONFIG_HOME/lectern
std::string cache_folder();     // $XDG_CACHE_HOME/lectern
std::string library_file();     // data_folder()/library.sqlite
std::string models_folder();    // data_folder()/models

}  // namespace lectern::app
