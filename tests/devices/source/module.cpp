// Registers the simulated GPU with torch when it is imported.
#include <ATen/autocast_mode.h>
#include <torch/csrc/utils/pybind.h>

#include "device.h"
#include "kernels.h"

namespace simulated {

REGISTER_ALLOCATOR(kDevice, &allocator);
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar_dense);
  library.impl("resize_", resize_);
  library.impl("as_strided", as_strided);
  library.impl("view", at::native::view);
  library.impl("_reshape_alias", at::native::_reshape_alias);
  library.impl("unfold", at::native::unfold);
  library.impl("view_as_real", at::native::view_as_real);
  library.impl("view_as_complex", at::native::view_as_complex);
  library.impl("set_.source_Storage_storage_offset", set_storage);
  library.impl("set_.source_Storage", set_whole_storage);
  library.impl("set_.source_Tensor", set_tensor);
  library.impl("convolution_overrideable", convolution);
  library.impl("convolution_backward_overrideable", convolution_backward);
  library.impl("_fused_sdp_choice", fused_attention_choice);
}

// Copies resolve conjugate and negative bits themselves.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

// Autocast computes in half precision what it does on CUDA.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define LOWER(...) KERNEL(c10::DeviceType::PrivateUse1, __VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
#define SINGLE(...) KERNEL(c10::DeviceType::PrivateUse1, __VA_ARGS__, fp32)
  AT_FORALL_FP32(SINGLE)
#define SET_DTYPE(...) KERNEL(c10::DeviceType::PrivateUse1, __VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(SET_DTYPE)
#define PROMOTE(...) KERNEL(c10::DeviceType::PrivateUse1, __VA_ARGS__, promote)
  AT_FORALL_PROMOTE(PROMOTE)
}

void set_wait_listener(const py::object& listener) {
  if (listener.is_none()) {
    wait_listener = nullptr;
    return;
  }
  // Never released, since the interpreter may be gone when this library is unloaded.
  auto* kept = new py::object(listener);
  wait_listener = [kept](const std::string& reason) {
    py::gil_scoped_acquire gil;
    (*kept)(reason);
  };
}

}  // namespace simulated

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  using namespace simulated;
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  module.def("device_count", [] { return int(kDeviceCount); });
  module.def("current_device", [] { return int(current_device); });
  module.def("set_device", [](int index) { Guard().setDevice({kDevice, c10::DeviceIndex(index)}); });
  module.def("default_generator", [](int index) { return default_generator(index); });
  module.def("set_float64", [](bool allowed) { has_float64 = allowed; });
  module.def("set_wait_listener", set_wait_listener);
  module.def("counters", [] {
    std::lock_guard<std::mutex> guard(counters_lock);
    return counters;
  });
}
