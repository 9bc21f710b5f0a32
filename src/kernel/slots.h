// One struct of function pointers for each kind of kernel file; a rung is all of them together.
#pragma once
#include "kernel/attention/slots_attention.h"
#include "kernel/image/slots_channels.h"
#include "kernel/image/slots_convolution.h"
#include "kernel/product/slots_product.h"
#include "kernel/row/slots_rows.h"
#include "kernel/slots_measure.h"
#include "kernel/slots_pointwise.h"

namespace intarsia::kernel {

struct Kernels {
  const char* name = "";
  PointwiseSlots pointwise;
  RowSlots rows;
  ChannelSlots channels;
  ProductSlots product;
  AttentionSlots attention;
  MeasureSlots measure;
  ConvolutionSlots convolution;
};

}  // namespace intarsia::kernel
