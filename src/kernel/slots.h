// One struct of function pointers for each kind of kernel file; a rung is all of them together.
#pragma once
#include "kernel/slots_attention.h"
#include "kernel/slots_channels.h"
#include "kernel/slots_convolution.h"
#include "kernel/slots_measure.h"
#include "kernel/slots_pointwise.h"
#include "kernel/slots_product.h"
#include "kernel/slots_rows.h"

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
