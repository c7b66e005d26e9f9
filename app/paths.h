// Where Lectern keeps its things (XDG base directories); tests isolate themselves with XDG_*. Folders are made if
// missing; lectern::Error says what to do where that is not possible.
#pragma once

#include <string>

namespace lectern::app {

std::string data_folder();    // $XDG_DATA_HOME/lectern
std::string config_folder();  // $XDG_CONFIG_HOME/lectern
std::string cache_folder();   // $XDG_CACHE_HOME/lectern
std::string library_file();   // data_folder()/library.sqlite
std::string models_folder();  // data_folder()/models

}  // namespace lectern::app
