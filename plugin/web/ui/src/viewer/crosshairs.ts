/** Lines in the colours of the theme; no handles, as planes are not turned here. */
export const CROSSHAIRS = {
  getReferenceLineColor: () => 'rgb(134, 189, 240)',
  getReferenceLineControllable: () => false,
  getReferenceLineDraggableRotatable: () => false,
  getReferenceLineSlabThicknessControlsOn: () => false,
  mobile: { enabled: false },
};
