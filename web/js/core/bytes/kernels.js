// kernels.js - which kernels GPUs take, as they were measured here: one text in the drive's folder "kernels",
// a section for each device (src/gpu/kernels/choice.h). What cannot be read is measured again.
// @ts-check
/** @import { Drive } from "./drive.js" */

export const FOLDER = "kernels";
const FILE = "gpu.txt";

/** @param {Drive} drive */
export async function readKernels(drive) {
  const bytes = await drive.read(FOLDER, FILE).catch(() => null);
  return bytes ? new TextDecoder().decode(bytes) : "";
}

/** @param {Drive} drive @param {string} text */
export const writeKernels = (drive, text) => drive.write(FOLDER, FILE, new TextEncoder().encode(text));
