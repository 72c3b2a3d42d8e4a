// The kernels as functions that XLA calls (its foreign function interface), on XLA's own threads.
#include "convolution.h"
#include "lstm.h"
#include "multiply_add.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;
using Numbers = ffi::Span<const int64_t>;

class XlaPool : public fdl::Pool {
 public:
  explicit XlaPool(ffi::ThreadPool pool) : pool_(pool) {}
  int64_t threads() override { return pool_.num_threads(); }
  void schedule(std::function<void()> task) override { pool_.Schedule(std::move(task)); }

 private:
  ffi::ThreadPool pool_;
};

// Return the numbers between the first `skip` and the last `skip_end`, with leading ones (or zeros) up to three.
fdl::Sizes inner(Numbers numbers, size_t skip, size_t skip_end, int64_t missing) {
  fdl::Sizes sizes;
  const size_t count = numbers.size() - skip - skip_end;
  for (size_t d = 0; d < 3; ++d) sizes[d] = d + count < 3 ? missing : numbers[skip + d + count - 3];
  return sizes;
}

fdl::Shape shape_of(Numbers x, Numbers w, Numbers y, Numbers strides, Numbers low) {
  fdl::Shape shape;
  shape.batch = x[0];
  shape.channels = x[x.size() - 1];
  shape.features = y[y.size() - 1];
  shape.size = inner(x, 1, 1, 1);
  shape.out = inner(y, 1, 1, 1);
  shape.side = inner(w, 0, 2, 1);
  shape.stride = inner(strides, 0, 0, 1);
  shape.low = inner(low, 0, 0, 0);
  return shape;
}

ffi::Error convolve(ffi::ThreadPool pool, Array x, Array w, Result y, Numbers strides, Numbers low) {
  XlaPool threads(pool);
  const auto shape = shape_of(x.dimensions(), w.dimensions(), y->dimensions(), strides, low);
  fdl::convolve(threads, shape, x.typed_data(), w.typed_data(), y->typed_data());
  return ffi::Error::Success();
}

ffi::Error input_gradient(ffi::ThreadPool pool, Array g, Array w, Result dx, Numbers strides, Numbers low) {
  XlaPool threads(pool);
  const auto shape = shape_of(dx->dimensions(), w.dimensions(), g.dimensions(), strides, low);
  fdl::input_gradient(threads, shape, g.typed_data(), w.typed_data(), dx->typed_data());
  return ffi::Error::Success();
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, Array x, Array g, Result dw, Numbers strides, Numbers low) {
  XlaPool threads(pool);
  const auto shape = shape_of(x.dimensions(), dw->dimensions(), g.dimensions(), strides, low);
  fdl::kernel_gradient(threads, shape, x.typed_data(), g.typed_data(), dw->typed_data());
  return ffi::Error::Success();
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Array>()
      .Arg<Array>()
      .Ret<Array>()
      .Attr<Numbers>("strides")
      .Attr<Numbers>("low");
}

fdl::Sequence sequence(Numbers gates, bool reverse) { return {gates[0], gates[1], gates[2] / 4, reverse}; }

ffi::Error lstm(ffi::ThreadPool pool, Array projections, Array kernel, Array state, Array cell, Result states,
                Result cells, Result gates, bool reverse) {
  XlaPool threads(pool);
  fdl::lstm(threads, sequence(projections.dimensions(), reverse), projections.typed_data(), kernel.typed_data(),
            state.typed_data(), cell.typed_data(), states->typed_data(), cells->typed_data(), gates->typed_data());
  return ffi::Error::Success();
}

// dstate, dcell: of the last step, which are copied into the results, where they become those of the first.
ffi::Error lstm_gradient(ffi::ThreadPool pool, Array kernel, Array cell, Array cells, Array gates, Array dstates,
                         Array dstate, Array dcell, Result dpreactivations, Result dfirst_state, Result dfirst_cell,
                         bool reverse) {
  XlaPool threads(pool);
  std::memcpy(dfirst_state->typed_data(), dstate.typed_data(), dstate.size_bytes());
  std::memcpy(dfirst_cell->typed_data(), dcell.typed_data(), dcell.size_bytes());
  fdl::lstm_gradient(threads, sequence(gates.dimensions(), reverse), kernel.typed_data(), cell.typed_data(),
                     cells.typed_data(), gates.typed_data(), dstates.typed_data(), dpreactivations->typed_data(),
                     dfirst_state->typed_data(), dfirst_cell->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(fdl_convolve, convolve, binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(fdl_convolve_input_gradient, input_gradient, binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(fdl_convolve_kernel_gradient, kernel_gradient, binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(fdl_lstm, lstm,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<bool>("reverse"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(fdl_lstm_gradient, lstm_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<bool>("reverse"));

extern "C" double fdl_multiply_add(int64_t rounds) { return fdl::multiply_add(rounds); }
