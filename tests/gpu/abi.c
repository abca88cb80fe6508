/* abi.c - webgpu_abi.h against the webgpu.h of Debian's libwebgpu-dawn-dev (-I its folder): the size of every
 * structure, the place of every field, every number, and that every call is declared. Nothing of the library
 * runs. Suite matrices compiles it against the root that it keeps. */
#include <webgpu/webgpu.h>
#include <stdio.h>
#include "gpu/device/webgpu_abi.h"

static int passed, failed;
static void same(const char *what, unsigned long long ours, unsigned long long theirs)
{
    if (ours == theirs) passed++;
    else failed++, printf("%s: %llu here, %llu in webgpu.h\n", what, ours, theirs);
}
#define V(ours, theirs) same(#ours, ours, theirs);
#define S(ours, theirs) same("the size of " #ours, sizeof(ours), sizeof(theirs));
/* fields: their place and their size */
#define F(ours, a, theirs, b)                                             \
    same(#ours "." #a, offsetof(ours, a), offsetof(theirs, b));            \
    same("the size of " #ours "." #a, sizeof ((ours *)0)->a, sizeof ((theirs *)0)->b);

static void numbers(void)
{
    V(WG_STYPE_WGSL, WGPUSType_ShaderSourceWGSL)
    V(WG_STYPE_TOGGLES, WGPUSType_DawnTogglesDescriptor)
    V(WG_STYPE_MATRIX_CONFIGS, WGPUSType_AdapterPropertiesSubgroupMatrixConfigs)
    V(WG_COMPONENT_F32, WGPUSubgroupMatrixComponentType_F32)
    V(WG_COMPONENT_F16, WGPUSubgroupMatrixComponentType_F16)
    V(WG_MODE_WAIT_ONLY, WGPUCallbackMode_WaitAnyOnly)
    V(WG_MODE_PROCESS, WGPUCallbackMode_AllowProcessEvents)
    V(WG_MODE_SPONTANEOUS, WGPUCallbackMode_AllowSpontaneous)
    V(WG_SUCCESS, WGPURequestAdapterStatus_Success)
    V(WG_SUCCESS, WGPURequestDeviceStatus_Success)
    V(WG_SUCCESS, WGPUMapAsyncStatus_Success)
    V(WG_SUCCESS, WGPUCreatePipelineAsyncStatus_Success)
    V(WG_BACKEND_NULL, WGPUBackendType_Null)
    V(WG_BACKEND_VULKAN, WGPUBackendType_Vulkan)
    V(WG_ADAPTER_CPU, WGPUAdapterType_CPU)
    V(WG_LEVEL_CORE, WGPUFeatureLevel_Core)
    V(WG_POWER_HIGH, WGPUPowerPreference_HighPerformance)
    V(WG_INSTANCE_TIMED_WAIT, WGPUInstanceFeatureName_TimedWaitAny)
    V(WG_FEATURE_TIMESTAMP, WGPUFeatureName_TimestampQuery)
    V(WG_FEATURE_F16, WGPUFeatureName_ShaderF16)
    V(WG_FEATURE_SUBGROUPS, WGPUFeatureName_Subgroups)
    V(WG_FEATURE_SUBGROUP_MATRIX, WGPUFeatureName_ChromiumExperimentalSubgroupMatrix)
    V(WG_LANG_DOT4, WGPUWGSLLanguageFeatureName_Packed4x8IntegerDotProduct)
    V(WG_USE_MAP_READ, WGPUBufferUsage_MapRead)
    V(WG_USE_MAP_WRITE, WGPUBufferUsage_MapWrite)
    V(WG_USE_COPY_SRC, WGPUBufferUsage_CopySrc)
    V(WG_USE_COPY_DST, WGPUBufferUsage_CopyDst)
    V(WG_USE_UNIFORM, WGPUBufferUsage_Uniform)
    V(WG_USE_STORAGE, WGPUBufferUsage_Storage)
    V(WG_USE_QUERY, WGPUBufferUsage_QueryResolve)
    V(WG_BIND_UNIFORM, WGPUBufferBindingType_Uniform)
    V(WG_BIND_STORAGE, WGPUBufferBindingType_Storage)
    V(WG_BIND_READ, WGPUBufferBindingType_ReadOnlyStorage)
    V(WG_STAGE_COMPUTE, WGPUShaderStage_Compute)
    V(WG_MAP_READ, WGPUMapMode_Read)
    V(WG_MAP_WRITE, WGPUMapMode_Write)
    V(WG_QUERY_TIMESTAMP, WGPUQueryType_Timestamp)
    V(WG_ERROR_VALIDATION, WGPUErrorType_Validation)
    V(WG_ERROR_MEMORY, WGPUErrorType_OutOfMemory)
    V(WG_ERROR_INTERNAL, WGPUErrorType_Internal)
    V(WG_LOST_DESTROYED, WGPUDeviceLostReason_Destroyed)
    V(WG_STRLEN, WGPU_STRLEN)
}

static void sizes(void)
{
    S(wg_str, WGPUStringView)
    S(wg_chain, WGPUChainedStruct)
    S(wg_future, WGPUFuture)
    S(wg_wait, WGPUFutureWaitInfo)
    S(wg_callback, WGPURequestAdapterCallbackInfo)
    S(wg_callback, WGPURequestDeviceCallbackInfo)
    S(wg_callback, WGPUCreateComputePipelineAsyncCallbackInfo)
    S(wg_map_callback, WGPUBufferMapCallbackInfo)
    S(wg_lost_callback, WGPUDeviceLostCallbackInfo)
    S(wg_error_callback, WGPUUncapturedErrorCallbackInfo)
    S(wg_instance_desc, WGPUInstanceDescriptor)
    S(wg_adapter_options, WGPURequestAdapterOptions)
    S(wg_toggles, WGPUDawnTogglesDescriptor)
    S(wg_adapter_info, WGPUAdapterInfo)
    S(wg_matrix_config, WGPUSubgroupMatrixConfig)
    S(wg_matrix_configs, WGPUAdapterPropertiesSubgroupMatrixConfigs)
    S(wg_queue_desc, WGPUQueueDescriptor)
    S(wg_device_desc, WGPUDeviceDescriptor)
    S(wg_buffer_desc, WGPUBufferDescriptor)
    S(wg_wgsl, WGPUShaderSourceWGSL)
    S(wg_label_desc, WGPUShaderModuleDescriptor)
    S(wg_label_desc, WGPUCommandEncoderDescriptor)
    S(wg_label_desc, WGPUCommandBufferDescriptor)
    S(wg_constant, WGPUConstantEntry)
    S(wg_compute, WGPUComputeState)
    S(wg_pipeline_desc, WGPUComputePipelineDescriptor)
    S(wg_buffer_layout, WGPUBufferBindingLayout)
    S(wg_sampler_layout, WGPUSamplerBindingLayout)
    S(wg_texture_layout, WGPUTextureBindingLayout)
    S(wg_texture_layout, WGPUStorageTextureBindingLayout)
    S(wg_layout_entry, WGPUBindGroupLayoutEntry)
    S(wg_layout_desc, WGPUBindGroupLayoutDescriptor)
    S(wg_pipeline_layout_desc, WGPUPipelineLayoutDescriptor)
    S(wg_group_entry, WGPUBindGroupEntry)
    S(wg_group_desc, WGPUBindGroupDescriptor)
    S(wg_timestamps, WGPUPassTimestampWrites)
    S(wg_pass_desc, WGPUComputePassDescriptor)
    S(wg_query_desc, WGPUQuerySetDescriptor)
    /* what the library writes must fit */
    same("room for WGPULimits", sizeof(wg_limits) >= sizeof(WGPULimits), 1);
}

static void places(void)
{
    F(wg_str, length, WGPUStringView, length)
    F(wg_chain, type, WGPUChainedStruct, sType)
    F(wg_wait, completed, WGPUFutureWaitInfo, completed)
    F(wg_callback, mode, WGPURequestAdapterCallbackInfo, mode)
    F(wg_callback, fn, WGPURequestAdapterCallbackInfo, callback)
    F(wg_callback, u1, WGPURequestAdapterCallbackInfo, userdata1)
    F(wg_map_callback, fn, WGPUBufferMapCallbackInfo, callback)
    F(wg_instance_desc, features, WGPUInstanceDescriptor, requiredFeatures)
    F(wg_adapter_options, level, WGPURequestAdapterOptions, featureLevel)
    F(wg_adapter_options, power, WGPURequestAdapterOptions, powerPreference)
    F(wg_adapter_options, backend, WGPURequestAdapterOptions, backendType)
    F(wg_toggles, n_on, WGPUDawnTogglesDescriptor, enabledToggleCount)
    F(wg_toggles, on, WGPUDawnTogglesDescriptor, enabledToggles)
    F(wg_toggles, n_off, WGPUDawnTogglesDescriptor, disabledToggleCount)
    F(wg_limits, storage_buffers, WGPULimits, maxStorageBuffersPerShaderStage)
    F(wg_limits, storage_binding, WGPULimits, maxStorageBufferBindingSize)
    F(wg_limits, storage_align, WGPULimits, minStorageBufferOffsetAlignment)
    F(wg_limits, buffer_size, WGPULimits, maxBufferSize)
    F(wg_limits, workgroup_bytes, WGPULimits, maxComputeWorkgroupStorageSize)
    F(wg_limits, invocations, WGPULimits, maxComputeInvocationsPerWorkgroup)
    F(wg_limits, workgroup_x, WGPULimits, maxComputeWorkgroupSizeX)
    F(wg_limits, groups, WGPULimits, maxComputeWorkgroupsPerDimension)
    F(wg_limits, immediate, WGPULimits, maxImmediateSize)
    F(wg_adapter_info, device, WGPUAdapterInfo, device)
    F(wg_adapter_info, description, WGPUAdapterInfo, description)
    F(wg_adapter_info, backend, WGPUAdapterInfo, backendType)
    F(wg_adapter_info, type, WGPUAdapterInfo, adapterType)
    F(wg_adapter_info, subgroup_min, WGPUAdapterInfo, subgroupMinSize)
    F(wg_adapter_info, subgroup_max, WGPUAdapterInfo, subgroupMaxSize)
    F(wg_matrix_config, result, WGPUSubgroupMatrixConfig, resultComponentType)
    F(wg_matrix_config, m, WGPUSubgroupMatrixConfig, M)
    F(wg_matrix_config, n, WGPUSubgroupMatrixConfig, N)
    F(wg_matrix_config, k, WGPUSubgroupMatrixConfig, K)
    F(wg_matrix_configs, n, WGPUAdapterPropertiesSubgroupMatrixConfigs, configCount)
    F(wg_matrix_configs, list, WGPUAdapterPropertiesSubgroupMatrixConfigs, configs)
    F(wg_device_desc, n_features, WGPUDeviceDescriptor, requiredFeatureCount)
    F(wg_device_desc, features, WGPUDeviceDescriptor, requiredFeatures)
    F(wg_device_desc, limits, WGPUDeviceDescriptor, requiredLimits)
    F(wg_device_desc, lost, WGPUDeviceDescriptor, deviceLostCallbackInfo)
    F(wg_device_desc, error, WGPUDeviceDescriptor, uncapturedErrorCallbackInfo)
    F(wg_buffer_desc, usage, WGPUBufferDescriptor, usage)
    F(wg_buffer_desc, size, WGPUBufferDescriptor, size)
    F(wg_buffer_desc, mapped, WGPUBufferDescriptor, mappedAtCreation)
    F(wg_wgsl, code, WGPUShaderSourceWGSL, code)
    F(wg_compute, module, WGPUComputeState, module)
    F(wg_compute, entry, WGPUComputeState, entryPoint)
    F(wg_compute, constants, WGPUComputeState, constants)
    F(wg_pipeline_desc, layout, WGPUComputePipelineDescriptor, layout)
    F(wg_pipeline_desc, compute, WGPUComputePipelineDescriptor, compute)
    F(wg_buffer_layout, type, WGPUBufferBindingLayout, type)
    F(wg_buffer_layout, dynamic, WGPUBufferBindingLayout, hasDynamicOffset)
    F(wg_buffer_layout, min_size, WGPUBufferBindingLayout, minBindingSize)
    F(wg_layout_entry, binding, WGPUBindGroupLayoutEntry, binding)
    F(wg_layout_entry, visibility, WGPUBindGroupLayoutEntry, visibility)
    F(wg_layout_entry, buffer, WGPUBindGroupLayoutEntry, buffer)
    F(wg_layout_desc, entries, WGPUBindGroupLayoutDescriptor, entries)
    F(wg_pipeline_layout_desc, layouts, WGPUPipelineLayoutDescriptor, bindGroupLayouts)
    F(wg_group_entry, buffer, WGPUBindGroupEntry, buffer)
    F(wg_group_entry, offset, WGPUBindGroupEntry, offset)
    F(wg_group_entry, size, WGPUBindGroupEntry, size)
    F(wg_group_desc, layout, WGPUBindGroupDescriptor, layout)
    F(wg_group_desc, entries, WGPUBindGroupDescriptor, entries)
    F(wg_timestamps, set, WGPUPassTimestampWrites, querySet)
    F(wg_timestamps, begin, WGPUPassTimestampWrites, beginningOfPassWriteIndex)
    F(wg_timestamps, end, WGPUPassTimestampWrites, endOfPassWriteIndex)
    F(wg_pass_desc, timestamps, WGPUComputePassDescriptor, timestampWrites)
    F(wg_query_desc, type, WGPUQuerySetDescriptor, type)
    F(wg_query_desc, count, WGPUQuerySetDescriptor, count)
}

int main(void)
{
    numbers();
    sizes();
    places();
#define X(result, name, parameters) same(#name, sizeof(&wgpu##name), sizeof(void (*)(void)));
    WG_CALLS(X)
    printf("abi: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
