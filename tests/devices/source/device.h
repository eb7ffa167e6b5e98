// Memory, streams, random generators and counters of a GPU that is simulated on the CPU.
//
// The device is torch's PrivateUse1, a place for backends outside of torch. Its memory is the
// host's, but torch keeps its tensors apart from the CPU's, so that code which forgets to move a
// tensor fails here as it fails on CUDA.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace simulated {

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDeviceCount = 2;

inline thread_local c10::DeviceIndex current_device = 0;

inline c10::DeviceIndex resolve(c10::DeviceIndex index) {
  return index < 0 ? current_device : index;
}

inline bool is_on_device(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kDevice;
}

// Backward passes run in threads of their own.
inline std::mutex counters_lock;
inline std::map<std::string, int64_t> counters;
// Is told of each wait; may raise.
inline std::function<void(const std::string&)> wait_listener;

inline void count(const std::string& event) {
  std::lock_guard<std::mutex> guard(counters_lock);
  ++counters[event];
}

// The host of a real GPU would wait here for all that it has launched.
inline void count_wait(const std::string& reason) {
  count("wait:" + reason);
  if (wait_listener) wait_listener(reason);
}

// Apple's GPUs have no float64; the message is the one that torch has for them.
inline bool has_float64 = true;

inline void check_dtype(c10::ScalarType type) {
  TORCH_CHECK_TYPE(
      has_float64 || (type != at::kDouble && type != at::kComplexDouble),
      "Cannot convert a simulated Tensor to float64 dtype as the framework doesn't support "
      "float64. Please use float32 instead.");
}

struct Allocator final : public c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = nullptr;
    if (bytes != 0 && posix_memalign(&memory, 64, bytes) != 0) throw std::bad_alloc();
    return {memory, memory, &std::free, c10::Device(kDevice, current_device)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};
inline Allocator allocator;

// Work is done when it is launched: there is one stream a device, and nothing to wait for.
struct Guard final : public c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDevice; }
  c10::Device getDevice() const override { return {kDevice, current_device}; }
  c10::Device exchangeDevice(c10::Device device) const override {
    auto before = getDevice();
    setDevice(device);
    return before;
  }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() < kDeviceCount, "simulated: invalid device ordinal ", int(device.index()));
    uncheckedSetDevice(device);
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    current_device = resolve(device.index());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDeviceCount; }
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kDevice, resolve(device.index())));
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return getStream(stream.device()); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    static int done;
    *event = &done;
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

// Draws the CPU's numbers, and is refused by the CPU's operations, as CUDA's is.
struct Generator final : public at::CPUGeneratorImpl {
  explicit Generator(c10::DeviceIndex index) : at::CPUGeneratorImpl(c10::default_rng_seed_val) {
    device_ = c10::Device(kDevice, resolve(index));
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  }
};

inline const at::Generator& default_generator(c10::DeviceIndex index) {
  static const std::vector<at::Generator> generators = [] {
    std::vector<at::Generator> made;
    for (c10::DeviceIndex i = 0; i < kDeviceCount; ++i) made.push_back(at::make_generator<Generator>(i));
    return made;
  }();
  return generators.at(resolve(index));
}

inline void resize_storage(const c10::Storage& storage, size_t bytes) {
  auto fresh = allocator.allocate(bytes);
  if (storage.data() != nullptr) std::memcpy(fresh.mutable_get(), storage.data(), std::min(bytes, storage.nbytes()));
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(fresh));
  storage.unsafeGetStorageImpl()->set_nbytes(bytes);
}

struct Hooks final : public at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDeviceCount; }
  c10::DeviceIndex getCurrentDevice() const override { return current_device; }
  void setCurrentDevice(c10::DeviceIndex index) const override { current_device = index; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    auto before = current_device;
    current_device = resolve(index);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override { return default_generator(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override { return at::make_generator<Generator>(index); }
  at::Device getDeviceFromPtr(void*) const override { return {kDevice, current_device}; }
  bool isPinnedPtr(const void*) const override { return false; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(c10::kCPU); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override { resize_storage(storage, bytes); }
};

}  // namespace simulated
