#include "inference/types.h"

namespace lectern::inference {

const char* name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::window: return "window";
    case FinishReason::repetition: return "repetition";
    case FinishReason::cancelled: return "cancelled";
  }
  return "stop";
}

const char* name(MissReason reason) {
  switch (reason) {
    case MissReason::first_read: return "first_read";
    case MissReason::model_changed: return "model_changed";
    case MissReason::settings_changed: return "settings_changed";
    case MissReason::build_changed: return "build_changed";
    case MissReason::document_changed: return "document_changed";
    case MissReason::order_changed: return "order_changed";
    case MissReason::evicted: return "evicted";
    case MissReason::cleared: return "cleared";
    case MissReason::damaged: return "damaged";
    case MissReason::cache_off: return "cache_off";
  }
  return "first_read";
}

}  // namespace lectern::inference
