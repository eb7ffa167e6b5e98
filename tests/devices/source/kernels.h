// Kernels of the simulated GPU: the CPU's, on the same memory, behind the refusals of CUDA.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include <optional>
#include <set>

#include "device.h"

namespace simulated {

using Names = std::set<std::string>;

// Indices alone may be on the host, and are copied then.
inline const Names kTakeHostIndices{
    "aten::index", "aten::index_out", "aten::index_put", "aten::index_put_", "aten::_index_put_impl",
    "aten::_index_put_impl_", "aten::_unsafe_index", "aten::_unsafe_index_put"};
// Results whose size, or value on the host, depends on what the device computes.
inline const Names kWait{
    "aten::nonzero", "aten::masked_select", "aten::equal", "aten::unique2", "aten::_unique2",
    "aten::unique_dim", "aten::unique_consecutive", "aten::bincount", "aten::repeat_interleave",
    "aten::is_nonzero"};
// Numbers on the host may mix with the device's tensors, but for these.
inline const Names kRefuseHostNumbers{
    "aten::cat", "aten::stack", "aten::gather", "aten::scatter", "aten::scatter_", "aten::scatter_add",
    "aten::scatter_add_", "aten::index_select", "aten::index_add_", "aten::embedding", "aten::mm",
    "aten::bmm", "aten::addmm"};

inline c10::impl::ExcludeDispatchKeyGuard without_autocast() {
  return c10::impl::ExcludeDispatchKeyGuard(
      c10::DispatchKeySet({c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastPrivateUse1}));
}

// The same memory as a tensor of the CPU.
inline at::Tensor host_view(const at::Tensor& tensor) {
  at::AutoDispatchBelowAutograd below_autograd;
  const auto options = tensor.options().device(at::kCPU);
  // What is empty may be an `out` that has yet to be resized.
  if (tensor.numel() == 0) return at::empty(tensor.sizes(), options);
  const auto length = static_cast<int64_t>(tensor.storage().nbytes() / tensor.element_size());
  auto whole = at::from_blob(
      tensor.storage().mutable_data(), {length}, [keep = tensor.storage()](void*) {}, options);
  auto view = at::as_strided(whole, tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.is_conj()) view = at::_conj(view);
  if (tensor.is_neg()) view = at::_neg_view(view);
  return view;
}

inline at::Tensor empty(
    c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const auto type = c10::dtype_or_default(dtype);
  check_dtype(type);
  c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(
      size, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type, format);
}

inline at::Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const auto type = c10::dtype_or_default(dtype);
  check_dtype(type);
  c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(
      size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type);
}

inline at::Tensor copy_of(const at::Tensor& host, c10::Device device) {
  if (!host.defined()) return host;
  check_dtype(host.scalar_type());
  auto made = at::empty_strided(host.sizes(), host.strides(), host.options().device(device));
  at::NoGradGuard no_grad;
  if (host.numel() != 0) host_view(made).copy_(host);
  return made;
}

inline at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() != 0) {
    // From pageable memory CUDA may return early too; a copy to it always waits.
    if (!is_on_device(from) && !non_blocking) count_wait("copy to device");
    if (!is_on_device(to)) count_wait("copy to host");
    if (is_on_device(from) && is_on_device(to)) count("copy");
  }
  at::NoGradGuard no_grad;
  (is_on_device(to) ? host_view(to) : to).copy_(is_on_device(from) ? host_view(from) : from);
  return to;
}

inline at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, true);
}

inline at::Scalar local_scalar_dense(const at::Tensor& tensor) {
  count_wait("item");
  return host_view(tensor).item();
}

inline const at::Tensor& resize_(
    const at::Tensor& tensor, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(C10_AS_INTARRAYREF_SLOW(size));
  if (format) impl->empty_tensor_restride(*format);
  const size_t bytes = (tensor.numel() + tensor.storage_offset()) * tensor.element_size();
  if (bytes > tensor.storage().nbytes()) resize_storage(tensor.storage(), bytes);
  return tensor;
}

// One call of an operation for which the device has no kernel of its own.
class HostCall {
 public:
  HostCall(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op), name_(op.schema().name()), stack_(*stack),
        first_argument_(stack->size() - op.schema().arguments().size()) {}

  void run() {
    count("kernel");
    if (kWait.count(name_)) count_wait(name_);
    find_device();
    refuse_other_devices();
    lend_generator();
    move_arguments();
    std::vector<std::vector<int64_t>> sizes;
    for (const auto& [on_device, on_host] : moved_) sizes.push_back(on_host.sizes().vec());
    {
      auto guard = without_autocast();
      op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack_);
    }
    give_generator_back();
    for (size_t i = 0; i < moved_.size(); ++i) {
      auto& [on_device, on_host] = moved_[i];
      if (on_host.sizes().vec() == sizes[i]) continue;
      // An `out` that was resized has memory of its own.
      resize_(on_device, c10::fromIntArrayRefSlow(on_host.sizes()), std::nullopt);
      at::NoGradGuard no_grad;
      host_view(on_device).copy_(on_host);
    }
    move_results();
  }

 private:
  size_t arguments() const { return op_.schema().arguments().size(); }
  c10::IValue& argument(size_t i) { return stack_.at(first_argument_ + i); }
  bool takes_host_indices(size_t i) const {
    return op_.schema().arguments()[i].name() == "indices" && kTakeHostIndices.count(name_);
  }

  template <typename Visit>
  void each_tensor(Visit visit) {
    for (size_t i = 0; i < arguments(); ++i) {
      const auto& value = argument(i);
      if (value.isTensor()) {
        if (value.toTensor().defined()) visit(value.toTensor(), false);
      } else if (value.isList()) {
        for (const c10::IValue element : value.toListRef())
          if (element.isTensor() && element.toTensor().defined()) visit(element.toTensor(), takes_host_indices(i));
      }
    }
  }

  void find_device() {
    each_tensor([this](const at::Tensor& tensor, bool) {
      if (!is_on_device(tensor)) return;
      check_dtype(tensor.scalar_type());
      if (!device_) device_ = tensor.device();
    });
  }

  void refuse_other_devices() {
    if (!device_) return;
    each_tensor([this](const at::Tensor& tensor, bool is_index) {
      const bool is_number = tensor.dim() == 0 && !kRefuseHostNumbers.count(name_);
      TORCH_CHECK(
          tensor.device() == *device_ || (tensor.is_cpu() && (is_index || is_number)),
          "Expected all tensors to be on the same device, but found at least two devices, ", *device_,
          " and ", tensor.device(), "! (", name_, ")");
      if (!is_index) return;
      if (!is_on_device(tensor)) count_wait("index on the host");
      else if (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte) count_wait("boolean index");
    });
    TORCH_CHECK(
        !kTakeHostIndices.count(name_) || is_on_device(argument(0).toTensor()),
        "indices should be either on cpu or on the same device as the indexed tensor (cpu) (", name_, ")");
  }

  // The CPU's kernels take the CPU's generators only.
  void lend_generator() {
    if (!device_) return;
    for (size_t i = 0; i < arguments(); ++i) {
      if (op_.schema().arguments()[i].type()->str().find("Generator") == std::string::npos) continue;
      auto& value = argument(i);
      if (value.isGenerator()) {
        generator_ = value.toGenerator();
        TORCH_CHECK(
            generator_->device().type() == kDevice, "Expected a '", kDevice,
            "' device type for generator but found '", generator_->device().type(), "' (", name_, ")");
      } else {
        generator_ = default_generator(device_->index());
      }
      lent_ = at::make_generator<at::CPUGeneratorImpl>();
      lent_.set_state(generator_->get_state());
      value = c10::IValue(lent_);
      return;
    }
    if (!op_.hasTag(at::Tag::nondeterministic_seeded)) return;
    // It takes none, such as native_dropout, and draws from the CPU's own.
    generator_ = default_generator(device_->index());
    lent_ = at::globalContext().defaultGenerator(at::kCPU);
    state_of_host_ = lent_.get_state();
    lent_.set_state(generator_->get_state());
  }

  void give_generator_back() {
    if (!generator_) return;
    generator_->set_state(lent_.get_state());
    if (state_of_host_.defined()) lent_.set_state(state_of_host_);
  }

  at::Tensor to_host(const at::Tensor& tensor) {
    if (!is_on_device(tensor)) return tensor;
    for (const auto& [on_device, on_host] : moved_)
      if (on_device.is_same(tensor)) return on_host;
    moved_.emplace_back(tensor, host_view(tensor));
    return moved_.back().second;
  }

  void move_arguments() {
    for (size_t i = 0; i < arguments(); ++i) {
      auto& value = argument(i);
      if (value.isTensor()) {
        value = c10::IValue(to_host(value.toTensor()));
      } else if (value.isTensorList()) {
        std::vector<at::Tensor> all;
        for (const auto& tensor : value.toTensorVector()) all.push_back(to_host(tensor));
        value = c10::IValue(all);
      } else if (value.isOptionalTensorList()) {
        c10::List<std::optional<at::Tensor>> all;
        for (const auto& tensor : value.toOptionalTensorVector())
          all.push_back(tensor ? std::optional<at::Tensor>(to_host(*tensor)) : std::nullopt);
        value = c10::IValue(all);
      } else if (value.isDevice() && value.toDevice().type() == kDevice) {
        if (!device_) device_ = value.toDevice();
        value = c10::IValue(at::Device(at::kCPU));
      }
    }
  }

  at::Tensor to_device(const at::Tensor& result) {
    if (!result.defined()) return result;
    for (const auto& [on_device, on_host] : moved_)
      if (on_host.is_same(result)) return on_device;
    if (!device_) return result;
    for (const auto& [on_device, on_host] : moved_)
      TORCH_CHECK(
          !on_host.numel() || !result.numel() || on_host.storage().data() != result.storage().data(), "simulated: ",
          name_, " returns a view, and needs a kernel of its own");
    return copy_of(result, *device_);
  }

  void move_results() {
    const auto results = op_.schema().returns().size();
    for (size_t i = stack_.size() - results; i < stack_.size(); ++i) {
      auto& value = stack_.at(i);
      if (value.isTensor()) {
        value = c10::IValue(to_device(value.toTensor()));
      } else if (value.isTensorList()) {
        std::vector<at::Tensor> all;
        for (const auto& tensor : value.toTensorVector()) all.push_back(to_device(tensor));
        value = c10::IValue(all);
      }
    }
  }

  const c10::OperatorHandle& op_;
  const std::string name_;
  torch::jit::Stack& stack_;
  const size_t first_argument_;
  std::optional<c10::Device> device_;
  std::optional<at::Generator> generator_;
  at::Generator lent_;
  at::Tensor state_of_host_;
  std::vector<std::pair<at::Tensor, at::Tensor>> moved_;  // On the device, on the host.
};

inline void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) { HostCall(op, stack).run(); }

inline void check_alike(const at::Tensor& one, const at::Tensor& other) {
  if (!other.defined()) return;
  TORCH_CHECK(
      one.device() == other.device(), "Expected all tensors to be on the same device, but found at least two devices, ",
      one.device(), " and ", other.device(), "! (convolution)");
  TORCH_CHECK(
      one.scalar_type() == other.scalar_type(), "Input type (", one.scalar_type(), ") and weight type (",
      other.scalar_type(), ") should be the same");
}

inline at::Tensor convolution(
    const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed,
    c10::SymIntArrayRef output_padding, c10::SymInt groups) {
  count("kernel");
  check_alike(input, weight);
  std::optional<at::Tensor> host_bias;
  if (bias && bias->defined()) {
    check_alike(input, *bias);
    host_bias = host_view(*bias);
  }
  at::NoGradGuard no_grad;
  auto guard = without_autocast();
  return copy_of(
      at::convolution_symint(
          host_view(input), host_view(weight), host_bias, stride, padding, dilation, transposed, output_padding, groups),
      input.device());
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding,
    c10::SymInt groups, std::array<bool, 3> wanted) {
  count("kernel");
  check_alike(gradient, input);
  check_alike(gradient, weight);
  at::NoGradGuard no_grad;
  const std::vector<c10::SymInt> bias_size{transposed ? weight.sym_size(1) * groups : weight.sym_size(0)};
  auto [of_input, of_weight, of_bias] = at::convolution_backward_symint(
      host_view(gradient), host_view(input), host_view(weight), c10::SymIntArrayRef(bias_size), stride, padding,
      dilation, transposed, output_padding, groups, wanted);
  const auto device = gradient.device();
  return {copy_of(of_input, device), copy_of(of_weight, device), copy_of(of_bias, device)};
}

inline at::Tensor as_strided(
    const at::Tensor& tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<c10::SymInt> offset) {
  std::optional<int64_t> start;
  if (offset) start = offset->guard_int(__FILE__, __LINE__);
  return at::native::as_strided_tensorimpl(
      tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), start);
}

inline at::Tensor& set_storage(
    at::Tensor& tensor, at::Storage source, c10::SymInt offset, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(source);
  impl->set_sizes_and_strides(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.guard_int(__FILE__, __LINE__));
  return tensor;
}

inline at::Tensor& set_whole_storage(at::Tensor& tensor, at::Storage source) {
  const std::vector<c10::SymInt> size{static_cast<int64_t>(source.nbytes() / tensor.element_size())};
  return set_storage(tensor, source, 0, size, std::vector<c10::SymInt>{1});
}

inline at::Tensor& set_tensor(at::Tensor& tensor, const at::Tensor& source) {
  return set_storage(
      tensor, source.storage(), source.sym_storage_offset(), source.sym_sizes(), source.sym_strides());
}

inline int64_t fused_attention_choice(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool,
    std::optional<double>, bool) {
  return 0;  // Attention as matrix products: there is no fused kernel.
}

}  // namespace simulated
