(* Right-hand sides, printed from theory/theorems/STEM.py by `python -m proofs.rocq --formulas`. *)
From Coq Require Import Reals.
Open Scope R_scope.

Definition contractive_of_matrix_norm (slope norm : R) : R :=
  slope * norm.

Definition contractive_of_perron_weights (slope row weight : R) : R :=
  slope * row / weight.

Definition contractive_of_comparison (row weight : R) : R :=
  row / weight.

Definition contractive_of_multipliers (level load : R) : R :=
  level * load.

Definition contractive_of_leak (leak rate : R) : R :=
  1 - leak + leak * rate.

Definition contractive_of_gate_norms (forget W_i W_f W_z W_o : R) : R :=
  forget + (W_i + W_o) / 4 + W_z + W_f / (4 * (1 - forget)).

Definition contractive_of_gru_norms (update inner candidate W_z : R) : R :=
  update + (1 - update) * inner + (1 + candidate) * W_z / 4.

Definition contractive_of_incremental_lmi (rate : R) : R :=
  rate.

Definition contractive_of_sectors (rate : R) : R :=
  rate.

Definition contractive_of_composition (lam_first lam_second there back : R) : R :=
  lam_first * lam_second * there * back.

Definition contractive_of_layers (own gain weight lower beneath : R) : R :=
  own + gain * weight / lower * beneath.

Definition contractive_of_iterate (product : R) : R :=
  product.

Definition drive (gain input_bound offset : R) : R :=
  gain * input_bound + offset.

Definition hidden_state (lam : R) (t : nat) (drive start : R) : R :=
  lam ^ t * start + drive * (1 - lam ^ t) / (1 - lam).

Definition initial_state (lam : R) (t : nat) (distance : R) : R :=
  lam ^ t * distance.

Definition input_sequence (lam : R) (t : nat) (gain distance : R) : R :=
  gain * distance * (1 - lam ^ t) / (1 - lam).

Definition state_gap_observed (lam : R) (k : nat) (past : R) : R :=
  lam ^ k * past.

Definition state_gap (lam : R) (k : nat) (drive : R) : R :=
  drive * lam ^ k / (1 - lam).

Definition state_gap_finite (lam : R) (k t : nat) (drive : R) : R :=
  drive * (lam ^ k - lam ^ t) / (1 - lam).

Definition state_gap_any_start (lam : R) (k t : nat) (drive start restart : R) : R :=
  lam ^ k * (lam ^ (t - k)%nat * start + drive * (1 - lam ^ (t - k)%nat) / (1 - lam) + restart).

Definition state_gap_iterate (lam : R) (blocks rest : nat) (growth past : R) : R :=
  growth ^ rest * lam ^ blocks * past.

Definition state_gap_blocks (lam : R) (blocks rest : nat) (growth drive spread : R) : R :=
  growth ^ rest * lam ^ blocks * drive * spread / (1 - lam).

Definition output_gap (lam : R) (k : nat) (drive lipschitz : R) : R :=
  lipschitz * drive * lam ^ k / (1 - lam).

Definition deployed_error (lam : R) (k t : nat) (drive step_error run_error : R) : R :=
  (drive * (lam ^ k - lam ^ t) + step_error * (1 - lam ^ k) + run_error * (1 - lam ^ t)) / (1 -
  lam).

Definition deployed_error_ever (lam : R) (k : nat) (drive step_error run_error : R) : R :=
  (drive * lam ^ k + step_error * (1 - lam ^ k) + run_error) / (1 - lam).

Definition cascade_gap (first second gain : R) (k : nat) (below above : R) : R :=
  second ^ k * above + gain * first * (first ^ k - second ^ k) / (first - second) * below.

Definition cascade_gap_equal_rates (lam gain : R) (k : nat) (below above : R) : R :=
  lam ^ k * (above + INR k * gain * below).

Definition context_length (eps : R) : R :=
  eps.

Definition context_length_gap_at (lam : R) (k : nat) (drive lipschitz past : R) : R :=
  lipschitz * drive * (lam ^ k - past) / (1 - lam).

Definition window_error (lam : R) (k t : nat) (gain input_bound lipschitz : R) : R :=
  lipschitz * gain * input_bound * lam ^ k * (1 - lam ^ (t - k)%nat) / (1 - lam).

Definition norm_change (lam : R) (k : nat) (past outer inner : R) : R :=
  outer * inner * lam ^ k * past.

Definition short_memory (information k : R) : R :=
  information / (k + 1).

Definition filter_contraction (diameter tau : R) (k : nat) : R :=
  diameter * tau ^ (k - 1)%nat.

Definition nearest_point_gap (distance : R) : R :=
  distance.

Definition nearest_point_distance (inner support length : R) : R :=
  (inner - support) / length.

Definition nearest_pair_distance (total multiplier : R) : R :=
  multiplier * total ^ 2 / (2 * (1 + 2 * multiplier)).

Definition parameter_gap (lam : R) (t : nat) (weight_gain distance : R) : R :=
  distance * weight_gain * (1 - lam ^ t) / (1 - lam).

Definition truncated_backprop_bias (lam : R) (k t : nat) (weight_gain loss_gain : R) : R :=
  lam ^ k * loss_gain * weight_gain * (1 - lam ^ (t - k)%nat) / (1 - lam).

Definition vanishing_gradient (lam : R) (k : nat) (gain loss_gain : R) : R :=
  loss_gain * lam ^ k * gain.

Definition gradient_gap_finite (lam : R) (k t : nat) (past weight_gain loss_gain beta_hh beta_wh
    beta_p : R) : R :=
  loss_gain * (lam ^ k * weight_gain * (1 - lam ^ (t - k)%nat) / (1 - lam) + lam ^ (k - 1)%nat *
  past * (INR k * beta_wh + beta_hh * weight_gain * (INR k - (1 - lam ^ k) / (1 - lam)) / (1 -
  lam))) + beta_p * lam ^ k * past * weight_gain * (1 - lam ^ k) / (1 - lam).

Definition gradient_gap (lam : R) (k : nat) (drive weight_gain loss_gain beta_hh beta_wh beta_p
    : R) : R :=
  INR k * lam ^ (k - 1)%nat * (lam * weight_gain * (loss_gain + beta_p * drive / (1 - lam)) +
  loss_gain * drive * (beta_wh + beta_hh * weight_gain / (1 - lam))) / (1 - lam).

Definition loss_smoothness (lam weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p
    distance : R) : R :=
  distance * (loss_gain * (beta_hh * weight_gain ^ 2 / (1 - lam) ^ 2 + (beta_hw + beta_wh) *
  weight_gain / (1 - lam) + beta_ww) + beta_p * weight_gain ^ 2 / (1 - lam)) / (1 - lam).

Definition weight_gap (amplification mismatch beta : R) : R :=
  mismatch * (amplification - 1) / beta.

Definition prediction_gap (lam : R) (k : nat) (drive weight_gain lipschitz distance : R) : R :=
  lipschitz * (weight_gain * distance + lam ^ k * drive) / (1 - lam).

Definition training_context (eps : R) : R :=
  eps.

Definition training_context_gap_at (lam : R) (k : nat) (per_mismatch rest : R) : R :=
  per_mismatch * INR k * lam ^ (k - 1)%nat + rest * lam ^ k.

Definition gradient_growth (factor : R) (t : nat) : R :=
  (INR t - 1) * factor ^ (2 * t - 3)%nat.

Definition curvature_growth (factor : R) (t : nat) : R :=
  (INR t - 1) * (2 * INR t - 3) * factor ^ (2 * t - 4)%nat.
