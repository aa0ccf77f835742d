(* Contraction of a gated recurrent unit in the maximum norm, from row sums of its gates. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors gates.

(* h+ = (1 - z) n + z h, z = logistic(W h + u x), n = tanh(pre h x), where the pre-activation of the
   candidate has the reset gate at the state or after the weights *)
Definition step {X} (n : nat) (W : nat -> nat -> R) (u : X -> vec) (pre : vec -> X -> vec)
    (h : vec) (x : X) : vec := fun i =>
  let z := logistic (apply n W h i + u x i) in (1 - z) * tanh (pre h x i) + z * h i.

Definition apart (n : nat) (h g : vec) : R := vmax (fun i => Rabs (h i - g i)) n.

Theorem contractive_of_gru_norms {X} (n : nat) (W : nat -> nat -> R) (u : X -> vec)
    (pre : vec -> X -> vec) (inputs : X -> Prop) (update inner candidate W_z : R) :
  inner <= 1 ->
  (forall i, (i < n)%nat -> sum (fun j => Rabs (W i j)) n <= W_z) ->
  let domain (h : vec) := forall i, (i < n)%nat -> Rabs (h i) <= 1 in
  (forall h x i, domain h -> inputs x -> (i < n)%nat -> logistic (apply n W h i + u x i)
    <= update) ->
  (forall h x i, domain h -> inputs x -> (i < n)%nat -> Rabs (tanh (pre h x i)) <= candidate) ->
  (forall h g x i, domain h -> domain g -> inputs x -> (i < n)%nat ->
    Rabs (pre h x i - pre g x i) <= inner * apart n h g) ->
  forall h g x, domain h -> domain g -> inputs x ->
  apart n (step n W u pre h x) (step n W u pre g x)
  <= formulas.contractive_of_gru_norms update inner candidate W_z * apart n h g.
Proof.
  intros Hinner HW domain Hupdate Hrange Hfactor h g x Hh Hg Hx. set (d := apart n h g).
  set (rate := formulas.contractive_of_gru_norms update inner candidate W_z).
  assert (Hd : 0 <= d) by apply vmax_nonneg.
  assert (Hdi : forall i, (i < n)%nat -> Rabs (h i - g i) <= d).
  { intros i Hi. apply (vmax_ge (fun i => Rabs (h i - g i)) n i Hi). }
  assert (entries : forall i, (i < n)%nat ->
    Rabs (step n W u pre h x i - step n W u pre g x i) <= rate * d).
  { intros i Hi. unfold step.
    pose proof (Hupdate h x i Hh Hx Hi) as Hz. pose proof (logistic_range (apply n W h i + u x i))
      as Hz1.
    pose proof (Hrange g x i Hg Hx Hi) as Hn. pose proof (Hfactor h g x i Hh Hg Hx Hi) as Hf. fold d
      in Hf.
    pose proof (tanh_lipschitz (pre h x i) (pre g x i)) as Ht.
    pose proof (logistic_lipschitz (apply n W h i + u x i) (apply n W g i + u x i)) as Hl.
    assert (Hpre : Rabs (apply n W h i + u x i - (apply n W g i + u x i)) <= W_z * d).
    { replace (apply n W h i + u x i - (apply n W g i + u x i)) with (apply n W (difference h g) i)
        by (rewrite <- apply_difference; ring).
      unfold apply. eapply Rle_trans; [apply sum_abs|].
      apply Rle_trans with (sum (fun j => d * Rabs (W i j)) n).
      - apply sum_le. intros j Hj. rewrite Rabs_mult, Rmult_comm.
        apply Rmult_le_compat_r; [apply Rabs_pos|]. now apply Hdi.
      - rewrite sum_scale, Rmult_comm. apply Rmult_le_compat_r; [exact Hd | now apply HW]. }
    set (z := logistic (apply n W h i + u x i)) in *. set (z' := logistic (apply n W g i + u x i))
      in *.
    set (a := tanh (pre h x i)) in *. set (b := tanh (pre g x i)) in *.
    replace ((1 - z) * a + z * h i - ((1 - z') * b + z' * g i))
      with (z * (h i - g i) + (1 - z) * (a - b) + (z - z') * (g i - b)) by ring.
    assert (Hzd : Rabs (z - z') <= W_z / 4 * d) by lra.
    assert (Hgb : Rabs (g i - b) <= 1 + candidate).
    { unfold Rminus. eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_Ropp.
      pose proof (Hg i Hi). lra. }
    assert (third : Rabs ((z - z') * (g i - b)) <= W_z / 4 * d * (1 + candidate)).
    { rewrite Rabs_mult. apply Rmult_le_compat; assumption || apply Rabs_pos. }
    assert (firsts : Rabs (z * (h i - g i) + (1 - z) * (a - b))
      <= (update + (1 - update) * inner) * d).
    { eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_mult, (Rabs_right z),
      (Rabs_right (1 - z)) by lra.
      pose proof (Hdi i Hi).
      apply Rle_trans with (z * d + (1 - z) * (inner * d)).
      - apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
      - assert (0 <= (update - z) * (1 - inner) * d); [|lra].
        apply Rmult_le_pos; [apply Rmult_le_pos|]; lra. }
    eapply Rle_trans; [apply Rabs_triang|].
    apply Rle_trans with ((update + (1 - update) * inner) * d + W_z / 4 * d * (1 + candidate));
      [lra|].
    right. unfold rate, formulas.contractive_of_gru_norms. field. }
  unfold apart at 1. apply vmax_le; [|exact entries].
  destruct n as [|n']; [unfold d, apart; simpl; lra|].
  eapply Rle_trans; [apply Rabs_pos | apply (entries 0%nat)]. lia.
Qed.

(* without recurrent weights, with an update gate that stands at logistic(b) *)
Theorem attained (b : R) :
  let update := logistic b in
  let n_step := step 1 (fun _ _ => 0) (fun _ _ => b) (fun _ _ _ => 0) in
  apart 1 (n_step (fun _ => 1) tt) (n_step (fun _ => 0) tt)
  = formulas.contractive_of_gru_norms update 0 0 0 * apart 1 (fun _ => 1) (fun _ => 0).
Proof.
  intros update n_step. unfold formulas.contractive_of_gru_norms, apart, n_step, step, apply.
  cbn [vmax sum]. rewrite !Rmult_0_l, !Rplus_0_l. fold update.
  pose proof (logistic_range b). fold update in H. rewrite !Rminus_0_r, Rabs_R1.
  replace ((1 - update) * tanh 0 + update * 1 - ((1 - update) * tanh 0 + update * 0)) with update
    by ring.
  rewrite (Rabs_right update), !Rmax_right by lra. field.
Qed.
